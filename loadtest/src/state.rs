//! What was sent and what became of it: one time and one outcome a body.

use crate::corpus::Workload;
use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What became of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Acknowledged: every row is there, once.
    Acked,
    /// No definite answer, or refused in part: each row is there once or not at all.
    Maybe,
    /// Refused: no row is there.
    Refused,
}

/// The bodies of one agent of one tenant, in the order of their numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LaneState {
    pub tenant: u32,
    pub lane: u32,
    /// Ascending; ns for logs, ms for metrics.
    pub bases: Vec<i64>,
    /// One for each of `bases`.
    pub outcomes: Vec<Outcome>,
}

/// All that `verify` must know of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    version: u32,
    pub workload: Workload,
    #[serde(with = "packed")]
    pub lanes: Vec<LaneState>,
}

/// Rises when a workload's rows change, so that an old file is not held against new rows.
const VERSION: u32 = 1;

impl LaneState {
    pub fn new(tenant: u32, lane: u32) -> LaneState {
        LaneState { tenant, lane, ..LaneState::default() }
    }

    pub fn push(&mut self, base: i64, outcome: Outcome) {
        self.bases.push(base);
        self.outcomes.push(outcome);
    }
}

impl State {
    pub fn new(workload: Workload, lanes: Vec<LaneState>) -> State {
        State { version: VERSION, workload, lanes }
    }

    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_vec(self)?;
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    pub fn read(path: &Path) -> anyhow::Result<State> {
        let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let state: State =
            serde_json::from_slice(&text).with_context(|| format!("{} is not a saved run", path.display()))?;
        let version = state.version;
        ensure!(version == VERSION, "{} was written by version {version}, this is version {VERSION}", path.display());
        Ok(state)
    }
}

mod packed {
    //! Times as differences, outcomes as runs.

    use super::{LaneState, Outcome};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Lane {
        tenant: u32,
        lane: u32,
        steps: Vec<i64>,
        outcomes: Vec<(Outcome, u32)>,
    }

    pub fn serialize<S: Serializer>(lanes: &[LaneState], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(lanes.iter().map(|lane| {
            let before = std::iter::once(&0).chain(&lane.bases);
            let steps = lane.bases.iter().zip(before).map(|(base, before)| base - before).collect();
            let runs = lane.outcomes.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u32)).collect();
            Lane { tenant: lane.tenant, lane: lane.lane, steps, outcomes: runs }
        }))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<LaneState>, D::Error> {
        let lanes = Vec::<Lane>::deserialize(deserializer)?;
        let unpack = |lane: Lane| {
            let mut sum = 0i64;
            let bases: Vec<i64> = lane
                .steps
                .iter()
                .map(|step| {
                    sum = sum.wrapping_add(*step);
                    sum
                })
                .collect();
            let outcomes: Vec<Outcome> = lane
                .outcomes
                .iter()
                .flat_map(|(outcome, count)| std::iter::repeat_n(*outcome, *count as usize))
                .collect();
            match bases.len() == outcomes.len() {
                true => Ok(LaneState { tenant: lane.tenant, lane: lane.lane, bases, outcomes }),
                false => Err(serde::de::Error::custom("a lane's times and outcomes differ in number")),
            }
        };
        lanes.into_iter().map(unpack).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Kind;

    #[test]
    fn a_saved_run_is_read_back() {
        let mut lane = LaneState::new(3, 1);
        for (base, outcome) in
            [(5, Outcome::Acked), (9, Outcome::Acked), (1 << 60, Outcome::Maybe), (1 << 61, Outcome::Refused)]
        {
            lane.push(base, outcome);
        }
        let kind = Kind::Metrics { series: 10, churn: 0.1, rw2: true };
        let workload = Workload { seed: 7, tenants: 4, tenant_prefix: "load-".into(), kind };
        let state = State::new(workload, vec![lane, LaneState::new(0, 0)]);
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("state.json");
        state.write(&path).expect("written");
        assert_eq!(State::read(&path).expect("read"), state);
        for (from, to) in [("\"version\":1", "\"version\":9"), ("[\"maybe\",1]", "[\"maybe\",2]"), ("{", "")] {
            let text = std::fs::read_to_string(&path).expect("text").replacen(from, to, 1);
            let other = dir.path().join("other.json");
            std::fs::write(&other, text).expect("written");
            assert!(State::read(&other).is_err(), "{to}");
        }
    }
}
