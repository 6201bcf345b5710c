//! Waiting for what the kernel finishes in its own time.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use rtnetlink::MulticastGroup;

use super::endpoint::Endpoint;
use super::events::{self, Events};
use super::link;
use super::route::{self, FibAnswer};
use super::socket::{Answer, KernelError, Request};
use super::view::LinkView;
use crate::plan::{Readiness, RouteKind, Side};

/// Longer than any delay of the kernel's work queues, shorter than any runtime's patience.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long to wait for a notification before looking again. An address that the kernel has begun to answer
/// for is told of just before its route is there, so a notification alone is not enough.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Waits until one side is ready. What is not ready by then on any account is returned as text.
pub fn await_ready(endpoint: &Endpoint, wanted: &Readiness) -> Result<Option<String>, KernelError> {
    // Usually it is ready by now: one look is cheaper than a subscription.
    match missing(endpoint, wanted)? {
        None => Ok(None),
        Some(_) => events::wait(look_again(endpoint, wanted))?,
    }
}

async fn look_again(endpoint: &Endpoint, wanted: &Readiness) -> Result<Option<String>, KernelError> {
    // A subscription hears the namespace that it is opened in, which is the host's.
    let subscribe = || Events::of(MulticastGroup::Link as u32);
    let mut events = if wanted.side == Side::Host { Some(subscribe()?) } else { None };
    let begin = Instant::now();
    loop {
        let missing = missing(endpoint, wanted)?;
        if missing.is_none() || begin.elapsed() > PATIENCE {
            return Ok(missing);
        }
        match &mut events {
            Some(events) => drop(tokio::time::timeout(LOOK_AGAIN, events.next()).await),
            None => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// The first thing that is not ready, by one datagram.
fn missing(endpoint: &Endpoint, wanted: &Readiness) -> Result<Option<String>, KernelError> {
    let index = |name| {
        let gone = || KernelError::of(Errno::ENODEV, format!("{name} is gone"));
        endpoint.index(name).ok_or_else(gone)
    };
    let mut requests: Vec<Request> = Vec::new();
    for name in &wanted.links {
        requests.push(link::get_index(index(name)?));
    }
    for address in &wanted.addresses {
        requests.push(route::get(address.net.addr(), Some(index(&address.link)?)));
    }
    let mut answers = endpoint.socket.batch(requests)?.into_iter();
    for name in &wanted.links {
        let answer = answers.next().unwrap_or_else(|| Err(KernelError::of(Errno::EPROTO, "no answer")));
        if !LinkView::from_answer(answer)?.carrier {
            return Ok(Some(format!("link {name}")));
        }
    }
    let late = wanted.addresses.iter().zip(answers).find(|(_, answer)| !is_local(answer));
    Ok(late.map(|(address, _)| format!("address {} on {}", address.net, address.link)))
}

fn is_local(answer: &Answer) -> bool {
    let routes = answer.as_ref().map(Vec::as_slice).unwrap_or_default();
    routes.iter().filter_map(FibAnswer::read).any(|route| route.kind == RouteKind::Local)
}
