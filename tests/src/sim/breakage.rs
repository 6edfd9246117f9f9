//! What breaks: processes, their machines and their disks.

use rand::RngExt;

use super::World;
use super::counts::Kind;
use super::disk::{End, Ending, SimDisk, Trouble};
use super::node::Started;

impl World {
    pub(super) fn disk(&self, who: usize) -> &SimDisk {
        match who {
            0 => self.hub.disk(),
            other => self.wallets[other - 1].disk(),
        }
    }

    /// A process ends between two operations of its disk.
    pub(super) fn end_one(&mut self) {
        let who = self.rng.random_range(0..3);
        let end = self.some_end();
        match who {
            0 => self.hub.end(end),
            other => self.wallets[other - 1].end(end),
        }
        self.notice_deaths();
    }

    fn some_end(&mut self) -> End {
        if self.rng.random_bool(0.6) { End::PowerCut } else { End::Kill }
    }

    /// A process will end at one of its next operations.
    pub(super) fn plan_end(&mut self) {
        let (who, end) = (self.rng.random_range(0..3), self.some_end());
        let ahead = self.rng.random_range(1..8);
        let disk = self.disk(who);
        disk.end_at(disk.operations() + ahead, end);
    }

    /// A process starts, and ends at one of its first operations.
    pub(super) fn end_in_recovery(&mut self) {
        let who = self.rng.random_range(0..3);
        let end = self.some_end();
        if self.is_up(who) {
            match who {
                0 => self.hub.end(end),
                other => self.wallets[other - 1].end(end),
            }
            self.notice_deaths();
        }
        let (ahead, next) = (self.rng.random_range(1..16), self.some_end());
        let disk = self.disk(who);
        disk.end_at(disk.operations() + ahead, next);
        self.start(who);
    }

    pub(super) fn trouble_one(&mut self) {
        let who = self.rng.random_range(0..3);
        let trouble = match self.rng.random_range(0..4) {
            0 => Trouble::WriteError,
            1 => Trouble::SyncError,
            2 => Trouble::Room(0),
            _ => Trouble::Room(self.rng.random_range(1..3_000)),
        };
        self.story.tell(self.now_ms, || format!("the disk of {}: {trouble:?}", name(who)));
        self.disk(who).trouble(trouble);
    }

    /// Somebody makes room, or replaces the cable.
    pub(super) fn mend_one(&mut self) {
        let who = self.rng.random_range(0..3);
        self.disk(who).mend();
    }

    /// A bit of a cold segment changes, and the process starts again now or some time later.
    pub(super) fn rot_one(&mut self) {
        let (who, choice) = (self.rng.random_range(0..3), self.rng.random());
        let Some(path) = self.disk(who).rot(choice) else { return };
        self.story.tell(self.now_ms, || {
            format!("a bit of {} rots on the disk of {}", path.display(), name(who))
        });
        if self.rng.random_bool(0.5) {
            self.end_and_start(who);
        }
    }

    fn end_and_start(&mut self, who: usize) {
        match who {
            0 => self.hub.end(End::Kill),
            other => self.wallets[other - 1].end(End::Kill),
        }
        self.notice_deaths();
        self.start(who);
    }

    pub(super) fn archive_one(&mut self) {
        let who = self.rng.random_range(0..3);
        let done = match who {
            0 => self.hub.archive(),
            other => self.wallets[other - 1].archive(),
        };
        if done.is_some() {
            self.count(Kind::Archived);
        }
        self.notice_deaths();
    }

    /// Disks work from now on, and what has rotted unseen is found.
    pub(super) fn mend_all(&mut self) {
        for who in 0..3 {
            self.disk(who).mend();
            if self.disk(who).rotten().is_some() {
                self.end_and_start(who);
            }
        }
    }

    pub(super) fn start(&mut self, who: usize) {
        self.story.tell(self.now_ms, || format!("{} starts", name(who)));
        let started = match who {
            0 => self.hub.start(self.now_ms),
            other => {
                self.facts.starts(other - 1);
                self.wallets[other - 1].start()
            }
        };
        self.has_started(who, started);
        self.notice_deaths();
        self.starts_late(who);
        self.catch_up();
    }

    fn has_started(&mut self, who: usize, started: Started) {
        let rotten = self.disk(who).rotten();
        match (started, rotten) {
            (Started::Up, None) => {}
            (Started::Up, Some((path, at))) => {
                self.wrong(format!("{} takes no notice of byte {at} of {path:?}", name(who)));
            }
            (Started::Ended, _) => self.count(Kind::EndedInRecovery),
            (Started::Refused(error), Some((path, at))) => {
                let named = error.place().is_some_and(|(file, offset)| {
                    file.file_name() == path.file_name() && offset <= at
                });
                if !named {
                    self.wrong(format!("byte {at} of {path:?} rots, and it is said: {error}"));
                }
                self.count(Kind::BitRot);
                self.disk(who).restore_rotten();
            }
            (Started::Refused(error), None) => {
                self.wrong(format!("{} does not start: {error}", name(who)));
            }
            (Started::Forgetful { had, has }, _) => {
                self.wrong(format!(
                    "{} said that record {had} is durable, and has {has}",
                    name(who)
                ));
            }
        }
    }

    /// Counts how processes ended and what their disks did.
    pub(super) fn count_endings(&mut self) {
        for who in 0..3 {
            let endings = match who {
                0 => self.hub.endings(),
                other => self.wallets[other - 1].endings(),
            };
            endings.into_iter().for_each(|ending| self.count_ending(who, ending));
            for trouble in self.disk(who).met() {
                self.story.tell(self.now_ms, || format!("{} meets {trouble:?}", name(who)));
                self.count(match trouble {
                    Trouble::WriteError => Kind::WriteError,
                    Trouble::SyncError => Kind::SyncError,
                    Trouble::Room(0) => Kind::FullDisk,
                    Trouble::Room(_) => Kind::ShortWrite,
                });
            }
        }
    }

    fn count_ending(&mut self, who: usize, Ending { end, lost, torn }: Ending) {
        self.story.tell(self.now_ms, || {
            format!("{} ends: {end:?}, unsynced lost {lost}, torn {torn}", name(who))
        });
        self.report.crashes += 1;
        self.count(if end == End::Kill { Kind::Killed } else { Kind::PowerCut });
        if lost {
            self.count(Kind::LostWrites);
        }
        if torn {
            self.count(Kind::TornWrites);
        }
    }

    pub(super) fn is_up(&self, who: usize) -> bool {
        match who {
            0 => self.hub.is_up(),
            other => self.wallets[other - 1].is_up(),
        }
    }

    pub(super) fn count(&mut self, kind: Kind) {
        self.report.counts.count(kind);
    }

    pub(super) fn wrong(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }
}

/// What a story calls a process.
pub(super) fn name(who: usize) -> String {
    match who {
        0 => "the hub".to_owned(),
        other => format!("wallet {}", other - 1),
    }
}
