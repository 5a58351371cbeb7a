//! What must hold: at every moment, and in the end.

use cim_keys::delivery::Stop;

use super::{Action, Budget, Log, World};

impl World {
    /// Looks at what must hold at every moment: nothing twice, in order, heads that tell the truth, one log only.
    ///
    /// # Errors
    /// With what does not hold.
    pub fn check(&self) -> Result<(), String> {
        self.server.check()?;
        for source in [0, 1] {
            let is_all = |log: &Log| {
                let mut stored = self.server.ever().filter(|there| there.source == source);
                stored.all(|there| log.source == source && log.at(there.position) == Some(there.cid))
            };
            if !self.logs.iter().any(is_all) {
                return Err("the stream mixes two logs".into());
            }
        }
        self.problem.map_or(Ok(()), |problem| Err(problem.to_owned()))
    }

    /// Ends all faults, lets everything run on, and looks at what must hold in the end: everything that was accepted is
    /// in the stream, or parked with the head saying so; or the machine stopped for a reason that there was.
    ///
    /// # Errors
    /// With what does not hold.
    pub fn settle(&self) -> Result<Self, String> {
        let mut world = self.clone();
        world.budget = Budget::default();
        world.server.refusing = None;
        for step in 0..2_000 {
            // What is left in the network arrives or is lost; both are looked at before, here it arrives.
            let mut actions = world.progress();
            actions.retain(|action| !matches!(action, Action::Drop { .. }));
            if actions.is_empty() {
                world.check_end()?;
                return Ok(world);
            }
            // Each gets its turn: nobody is starved by another who tries again and again.
            world.act(actions[step * 7 / 3 % actions.len()]);
            world.check()?;
        }
        Err("it does not end".into())
    }

    /// Purged events can't be found again; nor can heads that stood alone, because all before them was parked.
    fn may_be_unknowable(&self) -> bool {
        let budget = &self.scenario.budget;
        budget.purges > 0 || (budget.head_purges > 0 && !self.scenario.poison.is_empty())
    }

    fn check_end(&self) -> Result<(), String> {
        let mut drained = false;
        for drainer in &self.drainers {
            let log = &self.logs[drainer.log];
            match drainer.machine.stopped() {
                None if drainer.machine.is_drained() => {
                    drained = true;
                    let head = self.server.head(log.source, 0).map(|(_, head)| head);
                    for position in 1..=log.events.len() as u64 {
                        let is_there = |cid| self.server.ever().any(|one| one.position == position && one.cid == cid);
                        let there = log.at(position).is_some_and(is_there);
                        let known_as_parked =
                            head.is_none_or(|head| head.parked.iter().any(|listed| listed.position == position));
                        if !there && (!log.parked.contains(&position) || !known_as_parked) {
                            return Err(format!("position {position} is lost"));
                        }
                        if there && log.parked.contains(&position) && log.events.len() as u64 == drainer.machine.end() {
                            return Err(format!("position {position} is parked and in the stream"));
                        }
                    }
                }
                None if drainer.machine.state() == "the stream is ahead of the log here" => {}
                None => return Err(format!("it ends while {}", drainer.machine.state())),
                Some(Stop::Fork { .. }) if self.scenario.forks_at.is_some() => {}
                Some(Stop::Unknowable { .. }) if self.may_be_unknowable() => drained = true,
                Some(Stop::Unverifiable { .. }) if self.scenario.logs.len() > 1 => {}
                Some(Stop::Succeeded(_)) if self.successor(log).is_some() => {}
                Some(stop) => return Err(format!("it stopped without a reason: {stop}")),
            }
        }
        if drained || self.scenario.drainers.is_empty() { Ok(()) } else { Err("no drainer is left".into()) }
    }
}
