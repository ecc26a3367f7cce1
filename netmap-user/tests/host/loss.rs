//! What happens when the kernel's queue overflows.

use super::*;

#[test]
fn lost_events_end_in_a_right_view() {
    let lab = Lab::new();
    lab.inside(async {
        let mut host = Host::with_queue(Selection::default(), 1).await.unwrap();
        let before = host.view().clone();
        let lines: Vec<_> = (0..200)
            .map(|n| format!("addr add 10.8.0.{n}/32 dev lo"))
            .collect();
        lab.ip("h", &lines.join("\n"));
        lab.container();
        lab.ip("h", "addr del 10.8.0.7/32 dev lo");
        let last: Address = Ipv4Addr::new(10, 8, 0, 199).into();
        until(&mut host, "everything", |view| {
            view.v4.locals.contains_key(&last)
                && value(view, "vc1").is_some_and(|port| port.way == Way::Peer as u8)
        })
        .await;
        assert!(host.resyncs() > 0);
        assert_eq!(host.view().v4.locals.len(), before.v4.locals.len() + 199);
        // Events are followed again after that.
        lab.ip("h", "addr add 10.8.0.7/32 dev lo");
        let seven: Address = Ipv4Addr::new(10, 8, 0, 7).into();
        until(&mut host, "followed", |view| view.v4.locals.contains_key(&seven)).await;
        until(&mut host, "asked the container", |view| {
            !view.v4.owners.is_empty()
        })
        .await;
        let fresh = as_seen_anew(&mut host).await;
        assert_eq!(host.snapshot().v4.addresses, fresh.snapshot().v4.addresses);
        assert_eq!(host.snapshot().links, fresh.snapshot().links);
        assert_eq!(host.snapshot().v4.routes, fresh.snapshot().v4.routes);
        assert_eq!(host.snapshot().v6.routes, fresh.snapshot().v6.routes);
    });
}

#[test]
fn waiting_may_be_given_up_at_any_time() {
    let lab = Lab::new();
    lab.inside(async {
        let mut host = Host::with_queue(Selection::default(), 1).await.unwrap();
        let lines: Vec<_> = (0..200)
            .map(|n| format!("addr add 10.8.0.{n}/32 dev lo"))
            .collect();
        lab.ip("h", &lines.join("\n"));
        lab.container();
        let deadline = Instant::now() + PATIENCE;
        while named(host.view(), "vc1").is_none() {
            assert!(Instant::now() < deadline);
            // Polled a few times only, then dropped: also in the middle of a resynchronisation.
            tokio::select! {
                biased;
                changed = host.changed() => changed.unwrap(),
                () = tokio::task::yield_now() => {}
            }
        }
        assert!(host.resyncs() > 0);
        until(&mut host, "asked the container", |view| {
            !view.v4.owners.is_empty()
        })
        .await;
        as_seen_anew(&mut host).await;
    });
}

/// Waits until it sees what one sees who opens it now, for the last events may still be on their way. Returns that one.
async fn as_seen_anew(host: &mut Host) -> Host {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let fresh = open().await;
        if host.view() == fresh.view() {
            return fresh;
        }
        assert!(
            Instant::now() < deadline,
            "{:#?}\n{:#?}",
            host.view(),
            fresh.view()
        );
        let moment = Instant::now() + Duration::from_millis(100);
        if let Ok(changed) = timeout_at(moment, host.changed()).await {
            changed.unwrap();
        }
    }
}
