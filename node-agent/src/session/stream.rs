//! One opened stream, from the join to its end.

use std::time::Duration;

use atlas_core::agent::{Input, LeaseClock};
use atlas_core::cluster::Held;
use atlas_core::node::{Condition, Troubles};
use atlas_core::time::Millis;
use atlas_core::{Attempt, ClusterId, Epoch, Revision};
use atlas_proto::Invalid;
use atlas_proto::convert::{Assigned, MasterFacts, parse, required};
use atlas_proto::list::{Gathering, pieces};
use atlas_proto::wire::nodes_client::NodesClient;
use atlas_proto::wire::{self, master_message, node_message};
use atlas_runtime::Chain;
use atlas_runtime::clock::Wall;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream as Words, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use tonic::transport::Channel;

use super::{Error, Session, deadline, greet, now};
use crate::conditions::clock;
use crate::conditions::share::Expected;
use crate::driver::Up;
use crate::{identity, master};

/// Messages that may wait for the connection. A node that has more to say starts over: a join says it all at once.
const OUTBOX: usize = 1024;
/// For the next message of a master that lets this node in.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(30);
/// A master that is told of many jobs takes longer to write them down.
const WELCOME_PER_JOB: Duration = Duration::from_millis(2);
/// Heartbeats without an answer after which the connection counts as dead.
const SILENT_HEARTBEATS: u32 = 4;
const SHORTEST_SILENCE: Duration = Duration::from_secs(10);

pub(super) struct Stream {
    up: Up,
    down: Streaming<wire::MasterMessage>,
    /// Of the master, and its last commit that this node heard of.
    heard: (Epoch, Revision),
    /// Heartbeats are numbered within a session.
    beats: u64,
    /// By the wall clock, when the last of them was sent.
    beat_at: u64,
    /// What is said of them is seen.
    troubles: watch::Receiver<Troubles>,
}

impl Stream {
    /// Connects and says everything that is held here.
    pub(super) async fn open(session: &Session, clock: &mut LeaseClock) -> Result<Self, Error> {
        let master = || session.master.clone();
        let mut client = master::connect(&session.master)
            .await
            .map_err(|source| Error::Connect { master: master(), source })?;
        prepare(session, &mut client).await?;
        let (messages, outbox) = mpsc::channel(OUTBOX);
        let up = Up { messages, overrun: CancellationToken::new() };
        let held = session.driver.open(up.clone()).await.ok_or(Error::Shutdown)?;
        let mut troubles = session.conditions.subscribe();
        let join = wire::Join {
            cluster_id: session.cluster.as_ref().map(ToString::to_string).unwrap_or_default(),
            troubles: Some((&*troubles.borrow_and_update()).into()),
            ..(&session.node).into()
        };
        clock.opened(now());
        let patience =
            WELCOME_TIMEOUT + WELCOME_PER_JOB * u32::try_from(held.len()).unwrap_or(u32::MAX);
        let words = StreamExt::chain(first_words(join, held), ReceiverStream::new(outbox));
        let request = session.token.with(words);
        let reply = tokio::time::timeout(patience, client.session(request))
            .await
            .map_err(|_| Error::Silent(patience))?
            .map_err(|status| Error::Refused { master: master(), status })?;
        let heard = Default::default();
        Ok(Self { up, down: reply.into_inner(), heard, beats: 0, beat_at: 0, troubles })
    }

    /// Listens and sends heartbeats until the stream ends; returns why it did.
    pub(super) async fn run(
        mut self,
        session: &mut Session,
        clock: &mut LeaseClock,
        welcomed: &mut bool,
    ) -> Error {
        let beat = match self.welcome(session, clock).await {
            Ok(beat) => beat,
            Err(error) => return error,
        };
        *welcomed = true;
        tracing::info!(master = %session.master, "joined the master as {}", session.node.name);
        let silence = (beat * SILENT_HEARTBEATS).max(SHORTEST_SILENCE);
        let mut heard = Instant::now();
        let mut beats = interval_at(heard + beat, beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = self.down.message() => {
                    heard = Instant::now();
                    if let Err(error) = self.listen(message, session, clock).await {
                        return error;
                    }
                }
                _ = beats.tick() => {
                    if heard.elapsed() > silence {
                        return Error::Silent(silence);
                    }
                    if let Err(error) = self.beat(clock) {
                        return error;
                    }
                }
                // Whoever holds the other end is this session itself.
                Ok(()) = self.troubles.changed() => {
                    let now = (&*self.troubles.borrow_and_update()).into();
                    if let Err(error) = self.say(node_message::Message::Troubles(now)) {
                        return error;
                    }
                }
                () = self.up.messages.closed() => return Error::Closed,
                () = self.up.overrun.cancelled() => return Error::Overrun,
            }
        }
    }

    /// The first words of the master: everything that should be held here. A list that breaks off changes nothing.
    async fn welcome(
        &mut self,
        session: &mut Session,
        clock: &mut LeaseClock,
    ) -> Result<Duration, Error> {
        let first = self.next_of_welcome(session).await?;
        let master_message::Message::Welcome(welcome) = first else {
            return Err(Error::OutOfOrder { what: "another message", instead: "a welcome" });
        };
        let wire::Welcome { cluster_id, epoch, lease_ms, heartbeat_ms, revision } = welcome;
        admit(session, parse("cluster_id", &cluster_id).map_err(Error::Invalid)?)?;
        let list = self.list(session).await?;
        // What is started now must begin with the new lease; what the list does not name must not get it. Only then it is written
        // down, before the first heartbeat, which tells the master that nothing counts by an older one any more.
        let length = (lease_ms > 0).then_some(Millis(lease_ms));
        clock.welcomed(length);
        session.leases.granted_for(length);
        session.leases.announce(deadline(clock));
        session.driver.assignments(Epoch(epoch), list).await.ok_or(Error::Shutdown)??;
        session.publish(clock).await;
        self.heard_of(session, Epoch(epoch), revision).await;
        Ok(Duration::from_millis(heartbeat_ms.clamp(100, 60_000)))
    }

    async fn list(&mut self, session: &Session) -> Result<Vec<Assigned>, Error> {
        let mut gathering = Gathering::default();
        loop {
            let piece = self.next_of_welcome(session).await?;
            let master_message::Message::Assignments(piece) = piece else {
                let instead = "the rest of what should be held here";
                return Err(Error::OutOfOrder { what: "another message", instead });
            };
            let wire::AssignmentList { assignments, last } = piece;
            if let Some(list) = gathering.add(assignments, last).map_err(Error::Invalid)? {
                return Ok(list);
            }
        }
    }

    async fn next_of_welcome(
        &mut self,
        session: &Session,
    ) -> Result<master_message::Message, Error> {
        let message = tokio::time::timeout(WELCOME_TIMEOUT, self.down.message())
            .await
            .map_err(|_| Error::Silent(WELCOME_TIMEOUT))?
            .map_err(|status| Error::Refused { master: session.master.clone(), status })?
            .ok_or(Error::Closed)?;
        required("message", message.message).map_err(Error::Invalid)
    }

    async fn listen(
        &mut self,
        message: Result<Option<wire::MasterMessage>, tonic::Status>,
        session: &Session,
        clock: &mut LeaseClock,
    ) -> Result<(), Error> {
        let message = message.map_err(Error::Broken)?.ok_or(Error::Closed)?;
        let message = required("message", message.message).map_err(Error::Invalid)?;
        let input = match message {
            master_message::Message::Welcome(_) | master_message::Message::Assignments(_) => {
                return Err(Error::OutOfOrder { what: "a second welcome", instead: "an order" });
            }
            master_message::Message::Heartbeat(wire::HeartbeatAck {
                number,
                wall_ms,
                revision,
            }) => {
                clock.answered(number);
                if number == self.beats {
                    compare_clocks(session, self.beat_at, wall_ms);
                }
                session.publish(clock).await;
                self.heard_of(session, self.heard.0, revision).await;
                return Ok(());
            }
            master_message::Message::Grant(wire::Grant { span_ms }) => {
                clock.granted(Millis(span_ms));
                session.publish(clock).await;
                return Ok(());
            }
            master_message::Message::Assign(assignment) => {
                let assigned = assignment.try_into().map_err(Error::Invalid)?;
                return session.driver.assign(assigned).await.ok_or(Error::Shutdown);
            }
            order => input(order).map_err(Error::Invalid)?,
        };
        session.driver.obey(input).await.ok_or(Error::Shutdown)
    }

    /// Writes down which commit this is, so that no master takes an older store for the present one.
    async fn heard_of(&mut self, session: &Session, epoch: Epoch, revision: u64) {
        let heard = (epoch, Revision(revision));
        if self.heard == heard {
            return;
        }
        self.heard = heard;
        let Some(cluster) = session.cluster.clone() else { return };
        let data = session.data.clone();
        let see = move || identity::see(&data, &cluster, heard.0, heard.1);
        let written = tokio::task::spawn_blocking(see);
        if let Ok(Err(error)) = written.await {
            tracing::warn!("{}", Chain(&error));
        }
    }

    fn beat(&mut self, clock: &mut LeaseClock) -> Result<(), Error> {
        self.beats += 1;
        clock.sent(self.beats, now());
        self.beat_at = Wall::now();
        self.say(node_message::Message::Heartbeat(wire::Heartbeat { number: self.beats }))
    }

    fn say(&self, what: node_message::Message) -> Result<(), Error> {
        self.up.messages.try_send(message(what)).map_err(|_| Error::Overrun)
    }
}

/// Hears whom this node is about to join, and looks at its own share and clock by that before it does.
async fn prepare(session: &Session, client: &mut NodesClient<Channel>) -> Result<(), Error> {
    let cluster = session.cluster.as_ref();
    // Whoever belongs to no cluster has heard nothing of the one that it is about to join.
    let seen = cluster.map(|it| identity::seen(&session.data, it)).unwrap_or_default();
    let known = greet::Known { name: &session.node.name, cluster, seen };
    let greeted = greet::greet(client, &session.master, &session.token, known).await?;
    session.conditions.set(Condition::Clock, clock::trouble(greeted.ahead));
    if let Some(share) = &session.share {
        let MasterFacts { cluster, share_mark: mark, .. } = greeted.facts;
        share.expect(Expected { mark, cluster }).await;
    }
    Ok(())
}

fn compare_clocks(session: &Session, sent: u64, masters: u64) {
    let ahead = clock::ahead(sent, masters, Wall::now());
    session.conditions.set(Condition::Clock, clock::trouble(ahead));
}

/// Who this node is, and piece by piece everything that is held here.
fn first_words(join: wire::Join, held: Vec<Held>) -> impl Words<Item = wire::NodeMessage> {
    let join = std::iter::once(node_message::Message::Join(join));
    let list = pieces(held.into_iter().map(|it| (&it).into()))
        .map(|(held, last)| node_message::Message::HeldList(wire::HeldList { held, last }));
    tokio_stream::iter(join.chain(list).map(message))
}

/// A node belongs to the first cluster that welcomed it.
fn admit(session: &mut Session, theirs: ClusterId) -> Result<(), Error> {
    match &session.cluster {
        Some(ours) if *ours == theirs => Ok(()),
        Some(ours) => {
            Err(Error::OtherCluster { ours: ours.clone(), theirs, master: session.master.clone() })
        }
        None => {
            identity::join(&session.data, &theirs).map_err(Error::Remember)?;
            session.cluster = Some(theirs);
            Ok(())
        }
    }
}

fn input(order: master_message::Message) -> Result<Input, Invalid> {
    Ok(match order {
        master_message::Message::Stop(wire::StopAttempt { job, attempt, grace_ms }) => {
            Input::Stop {
                job: parse("job", &job)?,
                attempt: Attempt(attempt),
                grace: Millis(grace_ms),
            }
        }
        master_message::Message::Release(wire::ReleaseAttempt { job, attempt }) => {
            Input::Release { job: parse("job", &job)?, attempt: Attempt(attempt) }
        }
        master_message::Message::Welcome(_)
        | master_message::Message::Assignments(_)
        | master_message::Message::Assign(_)
        | master_message::Message::Heartbeat(_)
        | master_message::Message::Grant(_) => {
            return Err(Invalid::new("message", "it is no stop or release"));
        }
    })
}

fn message(message: node_message::Message) -> wire::NodeMessage {
    wire::NodeMessage { message: Some(message) }
}
