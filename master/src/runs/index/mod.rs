//! All runs in memory, a table for each project with a column for each key, so that a project of 100,000 runs is filtered, sorted and
//! paged in milliseconds. It is built anew at every start of the master; the store is what counts.
//!
//! Pure: who keeps it current, and asks it, is in `super::keeper`.

mod across;
mod bits;
mod cells;
mod cursor;
mod filter;
mod order;
mod table;
#[cfg(test)]
mod tests;
mod texts;
mod values;
mod view;

use std::collections::HashMap;

use atlas_core::run::Run;
use atlas_core::{JobId, JobSpec, JobStatus, Status, Timestamp};

use self::bits::Bits;
use self::cells::Column;
use self::filter::Looker;
use self::order::{Candidate, Order};
use self::table::Table;
use self::texts::Texts;
use self::view::Words;
use super::query::{Field, Query, Stat};

pub use self::across::Across;
pub use self::cells::CellKind;
pub use self::cursor::Cursor;
pub use self::values::{Columns, Values};

#[derive(Debug)]
pub struct Index {
    tables: Vec<Table>,
    /// The table of a project.
    projects: HashMap<Box<str>, u32>,
    places: HashMap<JobId, Place>,
    texts: Texts,
    words: Words,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    table: u32,
    row: u32,
}

/// A page of what was found.
#[derive(Debug)]
pub struct Found {
    pub ids: Vec<JobId>,
    /// Of all pages.
    pub total: usize,
    /// `None` = this is the last page.
    pub next: Option<Cursor>,
}

/// A key that runs have, and what its values are.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Of a metric its last value.
    pub field: Field,
    pub kinds: Vec<CellKind>,
    pub runs: usize,
    /// Of a metric.
    pub across: Option<Across>,
}

/// A project in short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Project {
    pub name: String,
    pub runs: usize,
    pub queued: usize,
    pub running: usize,
    pub completed: usize,
    pub failed: usize,
    pub last_submitted: Timestamp,
}

impl Default for Index {
    fn default() -> Self {
        let mut texts = Texts::default();
        let words = Words::new(&mut texts);
        let (tables, projects, places) = Default::default();
        Self { tables, projects, places, texts, words }
    }
}

impl Index {
    /// A job as it is now. Of one that is there already only its status is taken: what was submitted never changes.
    pub fn put(&mut self, id: JobId, spec: &JobSpec, status: &JobStatus) {
        if self.change(id, status) {
            return;
        }
        let table = self.table_for(spec.project.as_str());
        let row = self.tables[table as usize].add(&mut self.texts, id, spec, status);
        self.places.insert(id, Place { table, row });
    }

    /// The status of a job; false = there is no such job.
    pub fn change(&mut self, id: JobId, status: &JobStatus) -> bool {
        let Some(Place { table, row }) = self.places.get(&id).copied() else { return false };
        self.tables[table as usize].change(&mut self.texts, row, status);
        true
    }

    /// What a job told of itself; false = there is no such job.
    pub fn tell(&mut self, id: JobId, run: &Run) -> bool {
        let Some(Place { table, row }) = self.places.get(&id).copied() else { return false };
        self.tables[table as usize].tell(&mut self.texts, row, run);
        true
    }

    pub fn remove(&mut self, id: JobId) {
        let Some(Place { table, row }) = self.places.remove(&id) else { return };
        if let Some(moved) = self.tables[table as usize].remove(&mut self.texts, row) {
            self.places.insert(moved, Place { table, row });
        }
    }

    pub fn has(&self, id: JobId) -> bool {
        self.places.contains_key(&id)
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn table_for(&mut self, project: &str) -> u32 {
        if let Some(table) = self.projects.get(project) {
            return *table;
        }
        let table = u32::try_from(self.tables.len()).expect("memory ends before");
        self.tables.push(Table::new(self.texts.take(project)));
        self.projects.insert(project.into(), table);
        table
    }

    /// At most `limit` runs, one at least, from the first one or from where the page before ended.
    pub fn find(
        &self,
        query: &Query,
        after: Option<&Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Found {
        let (limit, now) = (limit.max(1), after.map_or(now, |it| it.now));
        let with = Looker { texts: &self.texts, words: &self.words, now };
        let tables = self.tables_of(query.project());
        let order = Order::new(&query.sort, &tables, with);
        let mut total = 0;
        let mut found: Vec<Candidate> = Vec::new();
        for (at, table) in (0u32..).zip(&tables) {
            let rows = match &query.filter {
                Some(filter) => filter::rows(filter, table, with),
                None => Bits::all(table.rows.len()),
            };
            total += rows.count();
            let candidates = rows.iter().map(|row| order.candidate(at, row));
            found.extend(
                candidates.filter(|it| after.is_none_or(|after| order.is_behind(it, after))),
            );
        }
        let more = found.len() > limit;
        if more {
            found.select_nth_unstable_by(limit, |one, other| order.compare(one, other));
            found.truncate(limit);
        }
        found.sort_unstable_by(|one, other| order.compare(one, other));
        let last = found.last().filter(|_| more);
        let next = last.map(|it| Cursor::new(query, now, order.marks(it)));
        Found { ids: found.iter().map(|it| order.id(it)).collect(), total, next }
    }

    /// All of them, or that of one project.
    fn tables_of(&self, project: Option<&str>) -> Vec<&Table> {
        match project {
            Some(name) => {
                let found = self.projects.get(name).map(|it| &self.tables[*it as usize]);
                found.into_iter().collect()
            }
            None => self.tables.iter().collect(),
        }
    }

    /// Every tag, parameter and metric that runs of this project have, in order of name.
    pub fn keys(&self, project: &str) -> Vec<Key> {
        let mut keys = Vec::new();
        for table in self.tables_of(Some(project)) {
            let tags = table.tags.iter().map(|(key, it)| (Field::Tag(key.to_string()), it));
            let params = table.params.iter().map(|(key, it)| (Field::Param(key.to_string()), it));
            let key = |field, column: &Column, across| {
                let (kinds, runs) = (column.kinds().collect(), column.present());
                Key { field, kinds, runs, across }
            };
            keys.extend(tags.chain(params).map(|(field, column)| key(field, column, None)));
            keys.extend(table.metrics.iter().map(|(name, it)| {
                let across = Across::of(it, table, &self.texts);
                let field = Field::Metric(name.to_string(), Stat::Last);
                key(field, it.column(Stat::Last), Some(across))
            }));
        }
        keys.sort_by_cached_key(|it| it.field.to_string());
        keys
    }

    /// Those that have runs, in order of name.
    pub fn projects(&self) -> Vec<Project> {
        let with_runs = self.tables.iter().filter(|it| !it.rows.is_empty());
        let mut projects: Vec<_> = with_runs.map(|it| self.project(it)).collect();
        projects.sort_by(|one, other| one.name.cmp(&other.name));
        projects
    }

    fn project(&self, table: &Table) -> Project {
        let count = |status: Status| table.rows.iter().filter(|it| it.status == status).count();
        Project {
            name: self.texts.text(table.project).to_owned(),
            runs: table.rows.len(),
            queued: count(Status::Queued),
            running: count(Status::Running),
            completed: count(Status::Completed),
            failed: count(Status::Failed),
            last_submitted: table.rows.iter().map(|it| it.submitted).max().unwrap_or_default(),
        }
    }
}
