//! Waiting for the kernel, by notification.

use std::time::Duration;

use nix::errno::Errno;
use rtnetlink::MulticastGroup;

use super::endpoint::Endpoint;
use super::link::LinkView;
use super::socket::{KernelError, Socket};
use crate::model::IfName;

/// Longer than any delay of the work queue that brings links up; shorter than any runtime's patience.
const PATIENCE: Duration = Duration::from_secs(3);

/// Waits until a link can carry packets. `Ok(false)` if it is up by then on no account.
pub async fn await_carrier(endpoint: &Endpoint, name: &IfName) -> Result<bool, KernelError> {
    let absent = || KernelError::of(Errno::ENODEV, format!("{name} is gone"));
    let index = endpoint.index(name).ok_or_else(absent)?;
    // Usually it is there by now: one look is cheaper than a subscription.
    if has_carrier(endpoint, index).await? {
        return Ok(true);
    }
    // Subscribe, look, listen: a change between the look and the listening is not missed.
    let mut events = Socket::subscribe(MulticastGroup::Link as u32)?;
    if has_carrier(endpoint, index).await? {
        return Ok(true);
    }
    let heard = async {
        loop {
            match events.next_event().await {
                Some(message) => match LinkView::from_message(&message) {
                    Some(view) if view.index == index && view.carrier => return,
                    _ => {}
                },
                None => tokio::time::sleep(Duration::from_millis(5)).await, // notifications were lost
            }
            if has_carrier(endpoint, index).await.unwrap_or(false) {
                return;
            }
        }
    };
    match tokio::time::timeout(PATIENCE, heard).await {
        Ok(()) => Ok(true),
        Err(_) => has_carrier(endpoint, index).await,
    }
}

async fn has_carrier(endpoint: &Endpoint, index: u32) -> Result<bool, KernelError> {
    let views = endpoint.look_up_indices(&[index]).await?;
    match views.first() {
        Some(view) => Ok(view.carrier),
        None => Err(KernelError::of(Errno::ENODEV, "the link is gone")),
    }
}
