//! Datagrams in pieces: every piece goes where the first went, and together they are the translated datagram.

use super::{
    pieces::{Id, PIECE, part, whole},
    *,
};
use crate::nat::Hold;

/// A datagram's frames, its content cut at these offsets (multiples of 8).
fn cut(packet: &Sample, id: Id, cuts: &[usize]) -> Vec<Vec<u8>> {
    let whole = packet.bytes();
    let content = &whole[CONTENT..];
    let starts = [0].into_iter().chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain([content.len()]);
    starts
        .zip(ends)
        .map(|(start, end)| piece(&whole, id, start, &content[start..end], end < content.len()))
        .collect()
}

/// What the receiver makes of the pieces, and under which identification they came.
fn join(pieces: &[Vec<u8>]) -> (Sample, Id) {
    let first = part(&pieces[0]);
    let mut content = vec![0; 65_536];
    let mut length = 0;
    for frame in pieces {
        let part = part(frame);
        assert_eq!(
            (part.id, part.src, part.dst, part.ttl),
            (first.id, first.src, first.dst, first.ttl)
        );
        let end = part.start + frame.len() - PIECE;
        content[part.start..end].copy_from_slice(&frame[PIECE..]);
        length = length.max(end);
    }
    (Sample::read(&whole(&pieces[0], &content[..length])), first.id)
}

/// Sends pieces through a hook that carries all of them the same way; gives what the receiver has, and under which
/// identification.
#[track_caller]
fn send(host: &Host, place: Place, pieces: &[Vec<u8>], verdict: Verdict, reason: Reason) -> (Sample, Id) {
    let sent: Vec<_> = pieces
        .iter()
        .map(|frame| {
            let (result, after) = host.run(place, frame);
            assert_eq!(result, Ok(crate::nat::Carried { verdict, reason }));
            after
        })
        .collect();
    join(&sent)
}

/// Sends one piece, which has to get through to c1.
#[track_caller]
fn send_one(host: &Host, piece: &[u8]) {
    assert_eq!(host.run(UPLINK_IN, piece).0.unwrap().verdict, C1_PEER);
}

/// It waits.
#[track_caller]
fn holds(host: &Host, place: Place, piece: &[u8]) {
    host.world.hold.set(Hold::Held);
    let (result, after) = host.run(place, piece);
    assert_eq!(result, Err(Reason::FragmentHeld));
    assert_eq!(after, piece);
}

fn large(packet: &Sample) -> Sample {
    packet.payload(&(0..=255).cycle().take(3_000).collect::<Vec<u8>>())
}

#[test]
fn a_large_question_and_its_large_answer_get_through() {
    let host = Host::with_8080();
    let question = large(&udp(r(40_000), h(8_080)));
    let pieces = cut(&question, 7, &[1_480, 2_960]);
    let (seen, id) = send(&host, UPLINK_IN, &pieces, C1_PEER, Reason::PublishedIn);
    assert_eq!(seen, question.to(c1(80)).hop());
    assert_eq!(id, 7, "R chooses its own");

    let answer = large(&udp(c1(80), r(40_000)));
    let pieces = cut(&answer, 7, &[1_480, 2_960]);
    let (seen, _) = send(&host, C1_PORT, &pieces, UPLINK_NEIGH, Reason::PublishedReply);
    assert_eq!(seen, answer.from(h(8_080)).hop());
}

#[test]
fn a_container_sends_and_receives_large_datagrams_and_pings() {
    let host = Host::new();
    for question in [
        udp(c1(40_000), r(53)),
        ping(c1(77), r(0)),
        udp(c1(41_000), r(53)).unchecked(),
    ] {
        let question = large(&question);
        let (sent, _) = send(
            &host,
            C1_PORT,
            &cut(&question, 9, &[1_480, 2_960]),
            UPLINK_NEIGH,
            Reason::EgressOut,
        );
        assert_eq!(sent, question.from(h(sent.src.port())).hop());

        let answer = match question.content {
            Content::Request => pong(r(0), sent.src),
            content => Sample::new(content, r(53), sent.src),
        };
        let answer = large(&answer);
        let (seen, _) = send(
            &host,
            UPLINK_IN,
            &cut(&answer, 9, &[1_480, 2_960]),
            C1_PEER,
            Reason::EgressReply,
        );
        assert_eq!(seen, answer.to(question.src).hop());
    }
}

#[test]
fn neighbours_reach_published_ports_with_large_datagrams() {
    let host = Host::with_8080();
    let question = large(&udp(c1b(40_000), h(8_080)));
    let (seen, id) = send(
        &host,
        C1B_PORT,
        &cut(&question, 7, &[1_480]),
        C1_PEER,
        Reason::HairpinIn,
    );
    assert_eq!((seen, id), (question.to(c1(80)).hop(), 7));
    let question = large(&udp(c1(40_000), h(8_080)));
    let (seen, _) = send(
        &host,
        C1_PORT,
        &cut(&question, 7, &[1_480]),
        C1_PEER,
        Reason::OwnPortIn,
    );
    assert_eq!(seen, question.from(gw1(seen.src.port())).to(c1(80)).hop());
}

#[test]
fn a_last_piece_shorter_than_a_pair_of_ports_follows() {
    let host = Host::with_8080();
    let question = udp(r(40_000), h(8_080)).payload(&[5; 1_475]);
    let pieces = cut(&question, 7, &[1_480]);
    assert_eq!(pieces[1].len(), PIECE + 3);
    let (seen, _) = send(&host, UPLINK_IN, &pieces, C1_PEER, Reason::PublishedIn);
    assert_eq!(seen, question.to(c1(80)).hop());
}

#[test]
fn later_pieces_may_change_places() {
    let host = Host::with_8080();
    let question = large(&udp(r(40_000), h(8_080)));
    let mut pieces = cut(&question, 7, &[800, 1_600, 2_400]);
    pieces.swap(1, 3);
    let (seen, _) = send(&host, UPLINK_IN, &pieces, C1_PEER, Reason::PublishedIn);
    assert_eq!(seen, question.to(c1(80)).hop());
}

#[test]
fn containers_that_chose_the_same_identification_do_not_share_it_outside() {
    let host = Host::new();
    let [one, other] = [(C1_PORT, c1(40_000)), (C1B_PORT, c1b(40_000))].map(|(place, from)| {
        let pieces = cut(&large(&udp(from, r(53))), 9, &[1_480]);
        send(&host, place, &pieces, UPLINK_NEIGH, Reason::EgressOut).1
    });
    assert_ne!(one, other);
}

#[test]
fn where_another_piece_comes_first_the_host_puts_all_together() {
    let host = Host::with_8080();
    let pieces = cut(&large(&udp(r(40_000), h(8_080))), 7, &[1_480, 2_960]);
    for index in [1, 0, 2] {
        host.leaves_bytes(UPLINK_IN, &pieces[index], Reason::Fragment);
    }
    // The next datagram is none of that.
    let question = large(&udp(r(40_000), h(8_080)));
    send(
        &host,
        UPLINK_IN,
        &cut(&question, 8, &[1_480]),
        C1_PEER,
        Reason::PublishedIn,
    );
}

#[test]
fn a_piece_that_comes_before_its_first_waits_for_it_and_follows() {
    let host = Host::with_8080();
    let outside = large(&udp(r(40_000), h(8_080)));
    let neighbour = large(&udp(c1b(40_000), h(8_080)));
    let egress = large(&udp(c1(40_000), r(53)));
    for (place, question, verdict, reason) in [
        (UPLINK_IN, &outside, C1_PEER, Reason::PublishedIn),
        (C1B_PORT, &neighbour, C1_PEER, Reason::HairpinIn),
        (C1_PORT, &egress, UPLINK_NEIGH, Reason::EgressOut),
    ] {
        let pieces = cut(question, 7, &[1_480, 2_960]);
        holds(&host, place, &pieces[2]);
        holds(&host, place, &pieces[1]);
        host.world.hold.set(Hold::Back);
        let (seen, _) = send(&host, place, &pieces, verdict, reason);
        assert_eq!(seen.payload.len(), question.payload.len());
    }
}

#[test]
fn an_answer_whose_last_piece_comes_first_gets_through() {
    let host = Host::new();
    let (_, sent) = host.send(C1_PORT, &udp(c1(30_000), r(53)));
    let answer = large(&udp(r(53), sent.src));
    let pieces = cut(&answer, 7, &[1_480]);
    holds(&host, UPLINK_IN, &pieces[1]);
    host.world.hold.set(Hold::Back);
    let (seen, _) = send(&host, UPLINK_IN, &pieces, C1_PEER, Reason::EgressReply);
    assert_eq!(seen, answer.to(c1(30_000)).hop());
}

#[test]
fn no_piece_waits_for_a_first_that_was_left_to_the_host() {
    let host = Host::with_8080();
    host.world.hold.set(Hold::Held);
    for (place, question, reason) in [
        (UPLINK_IN, udp(r(40_000), h(9_999)), Reason::ToHost),
        (C1_PORT, udp(c1(40_000), h(9_999)), Reason::ToHost),
        (C1_PORT, udp(c1(40_000), c1b(53)), Reason::OnLink),
    ] {
        let pieces = cut(&large(&question), 7, &[1_480]);
        host.leaves_bytes(place, &pieces[0], reason);
        host.leaves_bytes(place, &pieces[1], Reason::Fragment);
    }
    // Nor one that cannot be ours at all.
    let transit = cut(&large(&udp(r(1), r(2))), 7, &[1_480]);
    host.leaves_bytes(UPLINK_IN, &transit[1], Reason::Fragment);
}

#[test]
fn a_piece_whose_first_never_comes_ends_where_it_can_do_no_good() {
    let host = Host::with_8080();
    host.world.hold.set(Hold::Back);
    let pieces = cut(&large(&udp(c1(40_000), r(53))), 7, &[1_480]);
    host.leaves_bytes(C1_PORT, &pieces[1], Reason::FragmentLate);
    // The host waits longer for what may be its own.
    let pieces = cut(&large(&udp(r(40_000), h(9_999))), 7, &[1_480]);
    host.leaves_bytes(UPLINK_IN, &pieces[1], Reason::Fragment);
    host.leaves_bytes(UPLINK_IN, &pieces[0], Reason::ToHost);
}

#[test]
fn an_answer_is_not_the_hosts_however_its_pieces_come() {
    let host = Host::new();
    let (_, sent) = host.send(C1_PORT, &udp(c1(30_000), r(53)));
    let pieces = cut(&large(&udp(r(53), sent.src)), 7, &[1_480]);
    host.leaves_bytes(UPLINK_IN, &pieces[1], Reason::Fragment);
    let (result, _) = host.run(UPLINK_IN, &pieces[0]);
    assert_eq!(result.unwrap().reason, Reason::EgressReply);
}

#[test]
fn an_identification_means_another_datagram_after_a_while() {
    let host = Host::with_8080();
    let first = cut(&large(&udp(r(40_000), h(8_080))), 7, &[1_480]);
    send_one(&host, &first[0]);
    for _ in 0..30 {
        host.tick();
    }
    host.leaves_bytes(UPLINK_IN, &first[1], Reason::Fragment);

    // And at once, if another first piece says so.
    let mut host = Host::with_8080();
    host.world.publish(published(Protocol::Udp, h(9_090), c2(80)));
    let other = large(&udp(r(40_000), h(9_090)));
    send_one(&host, &first[0]);
    let (seen, _) = send(
        &host,
        UPLINK_IN,
        &cut(&other, 7, &[1_480]),
        C2_PEER,
        Reason::PublishedIn,
    );
    assert_eq!(seen, other.to(c2(80)).hop());
}

#[test]
fn what_lies_over_the_first_piece_is_dropped() {
    let host = Host::with_8080();
    let question = large(&udp(r(40_000), h(8_080)));
    let pieces = cut(&question, 7, &[1_480]);
    send_one(&host, &pieces[0]);
    for start in [8, 720, 1_472] {
        let over = piece(&question.bytes(), 7, start, &[0; 16], true);
        host.leaves_bytes(UPLINK_IN, &over, Reason::FragmentOverlap);
    }
    send_one(&host, &pieces[1]);
}

#[test]
fn a_first_piece_that_cuts_the_header_is_malformed() {
    let host = Host::with_8080();
    let syn = tcp(SYN, r(40_000), h(8_080));
    for content in [8, 16] {
        let tiny = piece(&syn.bytes(), 7, 0, &syn.bytes()[CONTENT..CONTENT + content], true);
        host.leaves_bytes(UPLINK_IN, &tiny, Reason::Malformed);
    }
    host.leaves_bytes(
        UPLINK_IN,
        &piece(&syn.bytes(), 7, 8, &[0; 8], false),
        Reason::Fragment,
    );
}

#[test]
fn pieces_follow_only_where_their_first_was_seen() {
    let host = Host::with_8080();
    let question = large(&udp(r(40_000), h(8_080)));
    let pieces = cut(&question, 7, &[1_480]);
    send_one(&host, &pieces[0]);
    // A container that says to be R.
    host.leaves_bytes(C2_PORT, &pieces[1], Reason::Fragment);
    // Straight to a container, with ports that nobody knows.
    let straight = piece(&udp(r(40_000), c1(80)).bytes(), 7, 1_480, &[0; 8], false);
    host.leaves_bytes(UPLINK_IN, &straight, Reason::DirectAccess);
    send_one(&host, &pieces[1]);
}

#[test]
fn after_unpublishing_no_piece_gets_through() {
    let host = Host::with_8080();
    let pieces = cut(&large(&udp(r(40_000), h(8_080))), 7, &[1_480]);
    send_one(&host, &pieces[0]);
    let rules: Vec<_> = host.world.rules.borrow().keys().copied().collect();
    for id in rules {
        host.world.retire(id);
    }
    host.leaves_bytes(UPLINK_IN, &pieces[1], Reason::Fragment);
}
