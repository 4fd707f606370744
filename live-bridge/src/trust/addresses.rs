//! A queue for each address, so that one that is slow, or means ill, holds up nobody but itself.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;

/// The queues of the addresses that somebody is calling from now.
#[derive(Debug)]
pub(crate) struct Addresses {
    places: usize,
    queues: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
}

impl Addresses {
    /// With so many places for each address.
    pub(crate) fn new(places: usize) -> Self {
        Self { places, queues: Mutex::default() }
    }

    /// The queue of an address; it is forgotten with the last of its handles, so there are never more than open sockets.
    pub(crate) fn queue(&self, address: IpAddr) -> Queue<'_> {
        let queue = Arc::clone(self.lock().entry(address).or_insert_with(|| Arc::new(Semaphore::new(self.places))));
        Queue { addresses: self, address, queue }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Arc<Semaphore>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle on an address's queue.
#[derive(Debug)]
pub(crate) struct Queue<'a> {
    addresses: &'a Addresses,
    address: IpAddr,
    queue: Arc<Semaphore>,
}

impl Deref for Queue<'_> {
    type Target = Semaphore;

    fn deref(&self) -> &Semaphore {
        &self.queue
    }
}

impl Drop for Queue<'_> {
    fn drop(&mut self) {
        let mut queues = self.addresses.lock();
        // Two: the map's and ours. Under the lock nobody can take another.
        if queues.get(&self.address).is_some_and(|queue| Arc::strong_count(queue) == 2) {
            queues.remove(&self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_shared_while_they_are_used_and_then_forgotten() {
        let addresses = Addresses::new(1);
        let [a, b] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse::<IpAddr>().unwrap());
        let first = addresses.queue(a);
        let place = first.try_acquire().unwrap();
        let second = addresses.queue(a);
        assert!(second.try_acquire().is_err(), "one place an address");
        assert!(addresses.queue(b).try_acquire().is_ok(), "others have their own");
        drop(second);
        assert_eq!(addresses.lock().len(), 1);
        drop(place);
        drop(first);
        assert!(addresses.lock().is_empty());
    }
}
