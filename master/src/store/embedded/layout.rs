//! The tables of the file and their way from one layout to the next.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::fault::Fault;
use crate::store::Error;

/// Each brings a file from the layout before to its own; the first makes the tables. Files of every layout are read for ever.
const STEPS: [&str; 5] = [
    include_str!("layout-1.sql"),
    include_str!("layout-2.sql"),
    include_str!("layout-3.sql"),
    include_str!("layout-4.sql"),
    include_str!("layout-5.sql"),
];

/// The layout that this program writes.
const KNOWN: usize = STEPS.len();

/// Makes the tables, or brings them from an older layout to the present one; all of it or nothing.
pub fn bring_up_to_date(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    let layout = match apply(connection) {
        Ok(layout) => layout,
        Err(error) => return Err(Fault::from(error).tried("read or make the tables", path)),
    };
    // A damaged number counts as a newer one: hands off.
    let found = u32::try_from(layout).unwrap_or(u32::MAX);
    let known = u32::try_from(KNOWN).expect("a handful");
    if found > known {
        return Err(Error::TooNew { place: path.display().to_string(), found, known });
    }
    Ok(())
}

fn apply(connection: &mut Connection) -> rusqlite::Result<i64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let layout: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let Some(steps) = usize::try_from(layout).ok().and_then(|it| STEPS.get(it..)) else {
        return Ok(layout);
    };
    for step in steps {
        transaction.execute_batch(step)?;
    }
    if layout == 0 {
        let cluster = uuid::Uuid::new_v4().to_string();
        transaction.execute("INSERT INTO meta (one, cluster) VALUES (1, ?1)", [cluster])?;
    }
    transaction.pragma_update(None, "user_version", KNOWN as i64)?;
    transaction.commit()?;
    Ok(layout)
}
