use std::future::pending;
use std::io;
use std::sync::Mutex;

use tokio::sync::oneshot;
use tracing_subscriber::fmt::MakeWriter;

use super::*;

const GRACE: Duration = Duration::from_secs(5);

/// What is logged on this thread while the guard lives.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(log.clone())
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn fail() {
    panic!("on {}", "purpose");
}

#[tokio::test]
async fn an_error_is_logged_under_the_name_of_its_task_with_its_causes() {
    let (log, _guard) = Log::capture();
    let tasks = Tasks::new();
    tasks.scope("node-1").spawn("log-copier", async { Err(io::Error::other("disk full")) });
    while !tasks.running().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(log.text().trim(), r#"ERROR task failed: disk full task="node-1/log-copier""#);
    tasks.shutdown(GRACE).await.unwrap();
}

#[tokio::test]
async fn a_panic_is_logged_and_ends_its_task_alone() {
    let (log, _guard) = Log::capture();
    let tasks = Tasks::new();
    tasks.spawn("janitor", async { fail() });
    tasks.spawn("other", async {});
    while !tasks.running().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(log.text().trim(), r#"ERROR task panicked: on purpose task="janitor""#);
    assert!(!tasks.token().is_cancelled());
    tasks.shutdown(GRACE).await.unwrap();
}

#[tokio::test]
async fn shutdown_cancels_and_waits_for_what_the_tasks_still_do() {
    let tasks = Tasks::new();
    let (done, mut is_done) = oneshot::channel();
    let handle = tasks.clone();
    tasks.spawn("writer", async move {
        handle.cancelled().await;
        tokio::task::yield_now().await; // its last work
        done.send(()).unwrap();
    });
    tasks.shutdown(GRACE).await.unwrap();
    assert_eq!(is_done.try_recv(), Ok(()));
}

#[tokio::test]
async fn shutdown_names_and_ends_the_tasks_that_do_not_end() {
    let tasks = Tasks::new();
    let (held, is_dropped) = oneshot::channel::<()>();
    tasks.scope("node-1").spawn("stuck", async move {
        let _held = held;
        pending::<()>().await;
    });
    tasks.spawn("fine", async {});
    let error = tasks.shutdown(Duration::from_millis(10)).await.unwrap_err();
    assert_eq!(error.to_string(), "ended by force after 10ms: node-1/stuck");
    assert!(is_dropped.await.is_err(), "the task was ended");
}

#[tokio::test]
async fn an_essential_task_that_fails_shuts_the_process_down() {
    let tasks = Tasks::new();
    tasks.scope("store").spawn_essential("writer", async { Err(io::Error::other("disk full")) });
    tasks.cancelled().await;
    let error = tasks.shutdown(GRACE).await.unwrap_err().to_string();
    assert_eq!(error, "store/writer, which this process cannot do without, failed: disk full");
}

#[tokio::test]
async fn an_essential_task_must_not_panic_or_just_end_either() {
    for panic in [true, false] {
        let tasks = Tasks::new();
        tasks.spawn_essential("reactor", async move { assert!(!panic, "on purpose") });
        tasks.cancelled().await;
        let error = tasks.shutdown(GRACE).await.unwrap_err().to_string();
        let how = if panic { "panicked: on purpose" } else { "ended" };
        assert!(error.ends_with(how), "{error}");
    }
}

#[tokio::test]
async fn an_essential_task_may_end_once_its_scope_is_cancelled() {
    let tasks = Tasks::new();
    let scope = tasks.scope("part");
    let handle = scope.clone();
    scope.spawn_essential("reactor", async move { handle.cancelled().await });
    scope.shutdown(GRACE).await.unwrap();
    assert!(!tasks.token().is_cancelled());
    tasks.shutdown(GRACE).await.unwrap();
}

#[tokio::test]
async fn a_scope_ends_alone_and_leaves_the_others_running() {
    let tasks = Tasks::new();
    let [one, two] = ["one", "two"].map(|name| {
        let scope = tasks.scope(name);
        let handle = scope.clone();
        scope.spawn("loop", async move { handle.cancelled().await });
        scope
    });
    assert_eq!(tasks.running(), ["one/loop", "two/loop"]);
    one.shutdown(GRACE).await.unwrap();
    assert_eq!(tasks.running(), ["two/loop"]);
    assert!(!two.token().is_cancelled());
    tasks.shutdown(GRACE).await.unwrap();
    assert!(two.token().is_cancelled());
}

#[tokio::test]
async fn a_task_spawned_during_the_shutdown_runs() {
    let tasks = Tasks::new();
    tasks.cancel();
    let (done, is_done) = oneshot::channel();
    tasks.spawn("late", async move { done.send(()).map_err(|()| "nobody listens") });
    tasks.shutdown(GRACE).await.unwrap();
    is_done.await.unwrap();
}

#[tokio::test]
async fn tasks_that_ended_leave_nothing_behind() {
    let tasks = Tasks::new();
    for _ in 0..1000 {
        tasks.scope("session").spawn("short", async {});
    }
    while !tasks.running().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(Arc::strong_count(&tasks.scope), 1, "no scope is kept alive");
}
