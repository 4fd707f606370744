//! What a journal says of its course in figures, whoever wrote it: for comparing two journals.

use crate::tables::Tables;
use slacktide_engine::rollout::{AttemptState, RolloutState};
use std::collections::BTreeMap;

impl Tables {
    /// Figures that every journal with a rollout has, by name: devices by how their last attempt ended, `makespan_s`, `batches`, `pauses`, and of the ticks from
    /// the beginning of the rollout on the highest `worst_pool_percent` and the lowest `least_updated_capacity`.
    pub fn course(&self) -> BTreeMap<&'static str, f64> {
        let mut course = BTreeMap::new();
        let Some(began) = self.began() else { return course };
        let ends = self.ended();
        let last = ends.values().filter(|(_, state)| state.is_end()).map(|(at, _)| *at).max();
        if let Some(last) = last.filter(|_| ends.values().all(|(_, state)| state.is_end())) {
            course.insert("makespan_s", last.since(began).as_secs_f64());
        }
        use AttemptState as End;
        let last: BTreeMap<&str, End> = self.settled.iter().map(|(_, s)| (s.device.as_str(), s.end)).collect();
        let count = |ends: &[End]| last.values().filter(|end| ends.contains(end)).count() as f64;
        course.insert("updated_devices", count(&[End::Succeeded, End::AlreadyCurrent]));
        course.insert("failed_devices", count(&[End::Failed, End::TimedOut, End::Rejected, End::RollbackFailed]));
        course.insert("rolled_back_devices", count(&[End::RolledBack]));
        course.insert("batches", self.batches.len() as f64);
        let pauses = self.transitions.iter().filter(|t| t.to == RolloutState::Paused).count();
        course.insert("pauses", pauses as f64);
        let under_way = || self.ticks.iter().filter(|(at, _)| *at >= began).map(|(_, tick)| tick);
        if let Some(worst) = under_way().map(|tick| tick.worst_pool_percent).reduce(f64::max) {
            course.insert("worst_pool_percent", worst);
        }
        if let Some(least) = under_way().filter_map(|tick| tick.updated_capacity).reduce(f64::min) {
            course.insert("least_updated_capacity", least);
        }
        course
    }
}
