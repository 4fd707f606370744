//! The kill switch: every open connection by the certificate behind it, so that one can be cut in the middle of a stream.

use super::counters::{Counters, count};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::future::Future as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// Open connections of one door.
#[derive(Debug, Default)]
pub struct Registry {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    open: HashMap<u64, Entry>,
    /// Connections in the order in which their certificates end, Unix seconds.
    ends: BTreeSet<(i64, u64)>,
    /// Connections of each device, in the order in which they came.
    of_device: HashMap<String, BTreeSet<u64>>,
}

#[derive(Debug)]
struct Entry {
    facts: Facts,
    counters: Arc<Counters>,
    cut: oneshot::Sender<()>,
}

/// What the switch has to know of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) serial: String,
    pub(crate) issuer: String,
    pub(crate) not_after_s: i64,
    /// The device, where it is one's.
    pub(crate) device: Option<String>,
}

/// Why connections were cut, for the right counter.
#[derive(Debug, Clone, Copy)]
enum Why {
    Revoked,
    Expired,
    Retired,
    Crowded,
}

impl Registry {
    /// Connections open now.
    pub fn open(&self) -> usize {
        self.lock().open.len()
    }

    /// Cuts every connection of a certificate and says how many there were.
    pub fn cut(&self, serial: &str) -> usize {
        self.cut_where(Why::Revoked, |facts| facts.serial == serial)
    }

    /// Cuts whatever is on the lists.
    pub(crate) fn cut_revoked(&self, revoked: &HashSet<String>) -> usize {
        self.cut_where(Why::Revoked, |facts| revoked.contains(&facts.serial))
    }

    /// Cuts whatever was signed by none of these authorities.
    pub(crate) fn cut_retired(&self, issuers: &HashSet<String>) -> usize {
        self.cut_where(Why::Retired, |facts| !issuers.contains(&facts.issuer))
    }

    /// Cuts whatever certificate has ended.
    pub(crate) fn cut_expired(&self, now_s: i64) -> usize {
        let mut inner = self.lock();
        let ended: Vec<u64> =
            inner.ends.iter().take_while(|(end_s, _)| *end_s < now_s).map(|(_, number)| *number).collect();
        inner.cut(&ended, Why::Expired)
    }

    fn cut_where(&self, why: Why, matches: impl Fn(&Facts) -> bool) -> usize {
        let mut inner = self.lock();
        let numbers: Vec<u64> =
            inner.open.iter().filter(|(_, entry)| matches(&entry.facts)).map(|(number, _)| *number).collect();
        inner.cut(&numbers, why)
    }

    /// Enters a connection; it is open until the handle is dropped. A device that has `device_max` already loses its oldest: one that
    /// opens more and more holds up nobody, and one whose old ones hang still gets in.
    pub(crate) fn enter(self: &Arc<Self>, facts: Facts, counters: Arc<Counters>, device_max: usize) -> Registered {
        let (cut, told) = oneshot::channel();
        let mut inner = self.lock();
        if let Some(own) = facts.device.as_ref().and_then(|device| inner.of_device.get(device)) {
            let oldest: Vec<u64> = own.iter().copied().take((own.len() + 1).saturating_sub(device_max)).collect();
            inner.cut(&oldest, Why::Crowded);
        }
        let number = inner.next;
        inner.next += 1;
        inner.ends.insert((facts.not_after_s, number));
        if let Some(device) = &facts.device {
            inner.of_device.entry(device.clone()).or_default().insert(number);
        }
        inner.open.insert(number, Entry { facts, counters, cut });
        Registered { registry: Arc::clone(self), number, told: Some(told) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code that can panic runs under this lock, and a map that is whole is as good after a panic elsewhere.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remove(&mut self, number: u64) -> Option<Entry> {
        let entry = self.open.remove(&number)?;
        self.ends.remove(&(entry.facts.not_after_s, number));
        if let Some(device) = &entry.facts.device
            && let Some(own) = self.of_device.get_mut(device)
        {
            own.remove(&number);
            if own.is_empty() {
                self.of_device.remove(device);
            }
        }
        Some(entry)
    }

    fn cut(&mut self, numbers: &[u64], why: Why) -> usize {
        for entry in numbers.iter().filter_map(|number| self.remove(*number)).collect::<Vec<_>>() {
            let counter = match why {
                Why::Revoked => &entry.counters.cut_revoked,
                Why::Expired => &entry.counters.cut_expired,
                Why::Retired => &entry.counters.cut_retired,
                Why::Crowded => &entry.counters.cut_crowded,
            };
            count(counter);
            tracing::info!(serial = %entry.facts.serial, ?why, "connection cut");
            // The connection may have gone by itself in this moment.
            let _ = entry.cut.send(());
        }
        numbers.len()
    }
}

/// A connection's place in the registry.
#[derive(Debug)]
pub(crate) struct Registered {
    registry: Arc<Registry>,
    number: u64,
    /// None once it was cut.
    told: Option<oneshot::Receiver<()>>,
}

impl Registered {
    /// Whether the connection was cut. The task that asks is woken when it is.
    pub(crate) fn is_cut(&mut self, context: &mut Context<'_>) -> bool {
        if let Some(told) = &mut self.told
            && Pin::new(told).poll(context) != Poll::Pending
        {
            self.told = None;
        }
        self.told.is_none()
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.registry.lock().remove(self.number);
    }
}

/// One more in a gauge for as long as this lives.
#[derive(Debug)]
pub(crate) struct Gauge(Arc<Counters>);

impl Gauge {
    pub(crate) fn raise(counters: Arc<Counters>) -> Self {
        counters.open.fetch_add(1, Ordering::Relaxed);
        Self(counters)
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        let open: &AtomicU64 = &self.0.open;
        open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    fn enter(registry: &Arc<Registry>, counters: &Arc<Counters>, serial: &str, end: i64) -> Registered {
        let device = Some(serial.to_owned());
        let facts = Facts { serial: serial.to_owned(), issuer: "one".to_owned(), not_after_s: end, device };
        registry.enter(facts, Arc::clone(counters), 2)
    }

    #[test]
    fn the_oldest_of_a_device_with_too_many_goes() {
        let (registry, counters) = (Arc::new(Registry::default()), Arc::new(Counters::default()));
        let mut own: Vec<Registered> = (0..3).map(|_| enter(&registry, &counters, "a", 10)).collect();
        let mut other = enter(&registry, &counters, "b", 10);
        let context = &mut Context::from_waker(Waker::noop());
        let is_cut: Vec<bool> = own.iter_mut().map(|one| one.is_cut(context)).collect();
        assert_eq!((is_cut, other.is_cut(context)), (vec![true, false, false], false));
        assert_eq!((registry.open(), counters.cut_crowded.load(Ordering::Relaxed)), (3, 1));
        drop((own, other));
        assert!(registry.lock().of_device.is_empty());
    }

    #[test]
    fn the_right_connections_are_cut_and_each_is_counted_once() {
        let (registry, counters) = (Arc::new(Registry::default()), Arc::new(Counters::default()));
        let mut a = enter(&registry, &counters, "a", 10);
        let mut again = enter(&registry, &counters, "a", 10);
        let mut b = enter(&registry, &counters, "b", 20);
        let context = &mut Context::from_waker(Waker::noop());
        assert_eq!((registry.cut("a"), registry.cut("a")), (2, 0));
        assert!(a.is_cut(context) && again.is_cut(context) && a.is_cut(context) && !b.is_cut(context));
        assert_eq!(registry.cut_expired(20), 0, "good in its last second");
        assert_eq!(registry.cut_expired(21), 1);
        assert!(b.is_cut(context));
        let c = enter(&registry, &counters, "c", 30);
        drop(c);
        assert_eq!((registry.open(), registry.cut_expired(1000)), (0, 0));
        let mut d = enter(&registry, &counters, "d", 30);
        assert_eq!(registry.cut_retired(&HashSet::from(["one".to_owned()])), 0);
        assert_eq!(registry.cut_retired(&HashSet::new()), 1);
        assert!(d.is_cut(context));
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        assert_eq!((read(&counters.cut_revoked), read(&counters.cut_expired), read(&counters.cut_retired)), (2, 1, 1));
        assert!(registry.lock().ends.is_empty());
    }
}
