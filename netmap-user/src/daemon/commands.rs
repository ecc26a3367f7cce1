//! What the API asks for. A refused command changes nothing.

use std::{collections::BTreeSet, net::IpAddr};

use tracing::{info, warn};

use super::{Daemon, ports};
use crate::{
    api::{
        events::Happening,
        server::Command,
        types::{Attachment, DaemonStatus, Done, PublishRequest, Refusal, UnpublishRequest},
    },
    binding::{Binding, Published},
    proxy::Hold,
    publish::Owner,
};

impl Daemon {
    pub(super) async fn obey(&mut self, command: Command) {
        // Who has hung up does not wait for an answer.
        match command {
            Command::Publish(request, answer) => {
                let result = self.publish(request).map_err(|error| refusal(&error));
                let result = self.recorded(result);
                self.find_sought().await;
                drop(answer.send(result));
            }
            Command::Unpublish(request, answer) => {
                let result = self.unpublish(&request).map_err(|error| refusal(&error));
                drop(answer.send(self.recorded(result)));
            }
            Command::Status(answer) => drop(answer.send(self.status())),
            Command::Names(answer) => drop(answer.send(self.names())),
            Command::Config(answer) => drop(answer.send(self.settings.report())),
            Command::Reload(answer) => {
                let result = self.reload().map_err(|error| refusal(&error));
                drop(answer.send(result));
            }
            Command::Uses(answer) => drop(answer.send(self.uses())),
            Command::CloseFlows(request, answer) => self.close(&request, answer),
            Command::Watch(request, answer) => drop(answer.send(self.watch(request))),
        }
    }

    fn publish(&mut self, request: PublishRequest) -> anyhow::Result<Done> {
        let bindings = request.bindings;
        self.publisher.check(&bindings)?;
        // Ports first: one that another program has is not taken from it.
        let published: Vec<_> = bindings.iter().map(|binding| binding.published).collect();
        let holds: Vec<Hold> = self
            .proxy
            .hold(&published)
            .into_iter()
            .collect::<Result<_, _>>()?;
        let warnings = self.publish_as(bindings, holds, Owner::Operator)?;
        Ok(Done { warnings })
    }

    /// Publishes what nothing is in the way of, with what keeps the ports of each; returns what the user should know.
    pub(super) fn publish_as(
        &mut self,
        bindings: Vec<Binding>,
        holds: Vec<Hold>,
        owner: Owner,
    ) -> anyhow::Result<Vec<String>> {
        self.publisher.publish(&mut self.maps, &bindings, owner)?;
        let mut warnings = self.topology.closures().warnings(&bindings, self.host.view());
        log("published", &bindings);
        self.tell_rules(Happening::RulePublished, &bindings);
        if let Err(error) = ports::mark_published(&mut self.maps, &bindings) {
            warnings.push(format!(
                "masquerading may take a published port as its source: {error:#}"
            ));
        }
        for (binding, hold) in bindings.into_iter().zip(holds) {
            if ports::is_range(&binding)
                && let Err(error) = self.reservations.reserve(binding.published.ports)
            {
                warnings.push(format!(
                    "the host may hand out ports of {binding} to its own connections: {error}"
                ));
            }
            self.warn_about(&binding, &mut warnings);
            self.proxy.publish(binding, hold);
        }
        self.settle(&mut warnings);
        Ok(warnings)
    }

    fn unpublish(&mut self, request: &UnpublishRequest) -> anyhow::Result<Done> {
        let published = self.publisher.resolve(&request.published)?;
        let engines = published.iter().filter(|published| {
            let rule = self.publisher.get(published);
            rule.is_some_and(|(_, owner)| owner.is_docker())
        });
        let engines: Vec<String> = engines
            .map(|published| {
                format!(
                    "{published} was docker's, which is not told: it comes back when its container is restarted, or \
                     netmap; stop the container to be rid of it"
                )
            })
            .collect();
        let (containers, mut warnings) = self.take_back(&published)?;
        warnings.extend(engines);
        if let Err(error) = self.cut_strays(&containers) {
            warnings.push(format!(
                "connections of this host's own processes to these ports go on: {error}"
            ));
        }
        Ok(Done { warnings })
    }

    /// Takes back what is published just so; returns the containers, to which this host's own processes may be connected
    /// still, and what the user should know.
    pub(super) fn take_back(
        &mut self,
        published: &[Published],
    ) -> anyhow::Result<(BTreeSet<IpAddr>, Vec<String>)> {
        // Holds first: without its slot a hold would take connections that nobody accepts.
        for published in published {
            self.proxy.unpublish(published);
        }
        let mut warnings = Vec::new();
        let bindings = self.publisher.unpublish(&mut self.maps, published)?;
        log("unpublished", &bindings);
        self.tell_rules(Happening::RuleUnpublished, &bindings);
        let containers: BTreeSet<IpAddr> = bindings.iter().map(|binding| binding.target).collect();
        for binding in bindings {
            if ports::is_range(&binding)
                && let Err(error) = self.reservations.release(binding.published.ports)
            {
                warnings.push(format!("the ports of {binding} stay reserved: {error}"));
            }
        }
        self.settle(&mut warnings);
        Ok((containers, warnings))
    }

    /// After a change of what is published, which stands whatever goes wrong here: it is tried again.
    fn settle(&mut self, warnings: &mut Vec<String>) {
        if self.want()
            && let Err(error) = self.follow_host()
        {
            warnings.push(format!(
                "the tables of the host's surroundings are behind: {error:#}"
            ));
        }
    }

    fn warn_about(&self, binding: &Binding, warnings: &mut Vec<String>) {
        let host = binding.published.host;
        let known = host.is_unspecified() || host.is_loopback() || self.host.view().is_local(host);
        if !known {
            warnings.push(format!(
                "{host} is not an address of this host yet; {binding} waits for it"
            ));
        }
    }

    fn status(&self) -> DaemonStatus {
        let attachments = self.dataplane.attachments().unwrap_or_else(|error| {
            warn!("attached programs cannot be listed: {error}");
            Vec::new()
        });
        let view = self.host.view();
        DaemonStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_seconds: self.started.elapsed().as_secs(),
            xdp: self.accelerator.status(view, &attachments),
            attachments: attachments.iter().map(Attachment::from).collect(),
            lifetimes_percent: self.sweeper.lifetimes_left(),
            missing_interfaces: view.missing.clone(),
            unresolved_containers: view.unresolved.clone(),
            engine: self.engine.status(),
            config_pending: self.settings.pending(),
        }
    }
}

/// A line a rule, unless there are so many that nobody would read them.
fn log(done: &str, bindings: &[Binding]) {
    const MOST: usize = 16;
    if bindings.len() > MOST {
        info!("{done} {} rules", bindings.len());
        return;
    }
    for binding in bindings {
        info!("{done} {binding}");
    }
}

fn refusal(error: &anyhow::Error) -> Refusal {
    Refusal {
        error: format!("{error:#}"),
    }
}
