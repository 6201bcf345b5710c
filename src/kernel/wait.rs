//! Waiting for what the kernel finishes in its own time.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::time::{ClockId, ClockNanosleepFlags, clock_nanosleep};

use super::endpoint::Endpoint;
use super::link;
use super::route::{self, FibAnswer};
use super::socket::{Answer, KernelError, Request};
use super::view::LinkView;
use crate::plan::{Readiness, RouteKind};

/// Longer than any delay of the kernel's work queues, shorter than any runtime's patience.
const PATIENCE: Duration = Duration::from_secs(3);

/// When to look again: what is not ready at the first look mostly is within 0.1 ms, by a work queue on another processor; and
/// from then on twice as late each time.
const PAUSES: (Duration, Duration) = (Duration::from_micros(20), Duration::from_millis(2));

/// Waits until one side is ready. What is not ready by then on any account is returned as text.
///
/// It looks again and again rather than to subscribe to notifications: of an address that it has begun to answer for, the
/// kernel tells just before its route is there, and of what happened before the subscription not at all.
pub fn await_ready(endpoint: &Endpoint, wanted: &Readiness) -> Result<Option<String>, KernelError> {
    let begin = Instant::now();
    let (mut pause, longest) = PAUSES;
    loop {
        let missing = missing(endpoint, wanted)?;
        if missing.is_none() || begin.elapsed() > PATIENCE {
            return Ok(missing);
        }
        sleep(pause);
        pause = longest.min(pause * 2);
    }
}

/// Sleeps so long, or less. (The standard library's way panics where a filter of system calls refuses it.)
pub(super) fn sleep(pause: Duration) {
    let _ = clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::empty(), &pause.into());
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
