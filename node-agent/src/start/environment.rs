//! The environment of a job: the same names in both executors. Pure.

use std::collections::BTreeMap;
use std::path::PathBuf;

use atlas_core::{GpuId, JobSpec};
use atlas_proto::convert::Entrusted;

use crate::paths::AttemptId;
use atlas_runtime::config::Secret;

/// Everything that decides a job's environment.
pub struct Facts<'a> {
    pub id: AttemptId,
    pub spec: &'a JobSpec,
    /// What is for the job alone.
    pub entrusted: &'a Secret<Entrusted>,
    pub gpus: &'a [GpuId],
    /// Of the image, or of the agent where there is none.
    pub base: &'a BTreeMap<String, String>,
    /// `--job-env` of this node.
    pub of_node: &'a BTreeMap<String, String>,
    pub places: Places,
    /// The trace that this attempt is part of.
    pub trace: Option<String>,
}

/// Paths as the job sees them.
#[derive(Clone, Debug)]
pub struct Places {
    pub work: PathBuf,
    pub home: String,
    pub tmp: String,
    pub spool: String,
    pub checkpoints: String,
    /// Checkpoints of the job that this one goes on from.
    pub resume: Option<String>,
    /// The virtual environment with the job's requirements.
    pub venv: Option<String>,
    /// The folder with the Python SDK.
    pub sdk: String,
    /// The folder with `atlas`, where the agent has one to lend.
    pub bin: Option<String>,
}

/// What the job's process gets. Later ones win: image, node, what a user may change, the user, what nobody may change.
pub fn environment(facts: &Facts<'_>) -> BTreeMap<String, String> {
    let Facts { base, of_node, spec, .. } = facts;
    let mut env = (*base).clone();
    env.extend((*of_node).clone());
    env.extend(changeable(facts));
    env.extend(spec.worker.env.clone());
    env.extend(facts.entrusted.expose().secrets.clone());
    env.entry("PYTHONUNBUFFERED".into()).or_insert_with(|| "1".into());
    env.extend(fixed(facts));
    // The supervisor says what it is, or that there is none.
    env.remove("ATLAS_URL");
    without_proxy(&mut env, "127.0.0.1");
    if let Some(bin) = &facts.places.bin {
        let path = env.get("PATH").map_or(DEFAULT_PATH, String::as_str);
        env.insert("PATH".into(), format!("{path}:{bin}"));
    }
    if let Some(venv) = &facts.places.venv {
        let path = env.get("PATH").cloned().unwrap_or_else(|| DEFAULT_PATH.into());
        env.insert("PATH".into(), format!("{venv}/bin:{path}"));
        env.insert("VIRTUAL_ENV".into(), venv.clone());
    }
    // Behind what the image or the user say. Nothing in the middle: that would be the current directory.
    let paths = env.get("PYTHONPATH").filter(|it| !it.is_empty());
    let paths = paths.map(|it| format!("{it}:")).unwrap_or_default() + &facts.places.sdk;
    env.insert("PYTHONPATH".into(), paths);
    env
}

/// Where programs are looked for when nobody says.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// No proxy of the site reaches what is on the job's own loopback. Programs read one of the two names or both.
fn without_proxy(env: &mut BTreeMap<String, String>, host: &str) {
    let proxies = ["http_proxy", "all_proxy"];
    if !env.keys().any(|name| proxies.iter().any(|it| name.eq_ignore_ascii_case(it))) {
        return;
    }
    let names = ["no_proxy", "NO_PROXY"];
    let said: Vec<&str> = names.into_iter().filter(|it| env.contains_key(*it)).collect();
    for name in if said.is_empty() { names.to_vec() } else { said } {
        let hosts = env.entry(name.into()).or_default();
        if !hosts.split(',').any(|it| it.trim() == "*" || it.trim() == host) {
            let comma = if hosts.is_empty() { "" } else { "," };
            hosts.push_str(&format!("{comma}{host}"));
        }
    }
}

fn changeable(facts: &Facts<'_>) -> BTreeMap<String, String> {
    let Places { home, tmp, .. } = &facts.places;
    let user = user_name(&facts.spec.user);
    table([
        ("HOME", home.clone()),
        ("TMPDIR", tmp.clone()),
        ("USER", user.clone()),
        ("LOGNAME", user),
        ("FOUNDATIONS_HOME", format!("{home}/.foundations")),
    ])
}

fn fixed(facts: &Facts<'_>) -> BTreeMap<String, String> {
    let Facts { id, spec, entrusted, gpus, places, trace, .. } = facts;
    let gpus: Vec<&str> = gpus.iter().map(GpuId::as_str).collect();
    let mut env = table([
        ("ATLAS_JOB_ID", id.job.to_string()),
        ("ATLAS_PROJECT", spec.project.to_string()),
        ("ATLAS_USER", spec.user.clone()),
        ("ATLAS_ATTEMPT", id.attempt.to_string()),
        ("ATLAS_TOKEN", entrusted.expose().token.clone()),
        ("ATLAS_SPOOL", places.spool.clone()),
        ("ATLAS_CHECKPOINT_DIR", places.checkpoints.clone()),
        ("FOUNDATIONS_JOB_ID", id.job.to_string()),
        ("FOUNDATIONS_PROJECT_NAME", spec.project.to_string()),
        ("FOUNDATIONS_USER", spec.user.clone()),
        ("CUDA_DEVICE_ORDER", "PCI_BUS_ID".to_owned()),
        ("CUDA_VISIBLE_DEVICES", gpus.join(",")),
        ("NVIDIA_VISIBLE_DEVICES", if gpus.is_empty() { "void".into() } else { gpus.join(",") }),
    ]);
    env.extend(places.resume.clone().map(|it| ("ATLAS_RESUME_DIR".to_owned(), it)));
    if let Some(trace) = trace {
        env.insert("TRACEPARENT".into(), trace.clone());
    }
    env
}

/// The user's name as far as it can be one: libraries make files of it.
fn user_name(user: &str) -> String {
    let plain = |it: &char| it.is_alphanumeric() || matches!(it, '.' | '_' | '-' | '@');
    let name: String = user.chars().filter(plain).take(64).collect();
    if name.is_empty() { "atlas".to_owned() } else { name }
}

fn table<const N: usize>(rows: [(&str, String); N]) -> BTreeMap<String, String> {
    rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// `NAME=VALUE` lines, as images have them.
pub fn from_lines<'a>(lines: impl IntoIterator<Item = &'a String>) -> BTreeMap<String, String> {
    let pair = |line: &String| {
        line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    lines.into_iter().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::spec;

    fn of(
        spec: &JobSpec,
        gpus: &[&str],
        base: &[(&str, &str)],
        venv: Option<&str>,
    ) -> BTreeMap<String, String> {
        let gpus: Vec<GpuId> = gpus.iter().map(|it| it.parse().unwrap()).collect();
        let owned = |it: &[(&str, &str)]| {
            it.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let places = Places {
            work: "/w".into(),
            home: "/h".into(),
            tmp: "/t".into(),
            spool: "/c/spool/events".into(),
            checkpoints: "/k".into(),
            resume: None,
            venv: venv.map(str::to_owned),
            sdk: "/s".into(),
            bin: Some("/b".into()),
        };
        environment(&Facts {
            id: "45540b52-ffe2-44ab-9838-db467d3499c0.2".parse().unwrap(),
            spec,
            entrusted: &Secret::new(Entrusted {
                token: "atlas_job_x".into(),
                secrets: [("WANDB_KEY".into(), "hunter2".into())].into(),
            }),
            gpus: &gpus,
            base: &owned(base),
            of_node: &owned(&[("HTTP_PROXY", "proxy"), ("FROM", "node")]),
            places,
            trace: spec.traceparent.clone(),
        })
    }

    #[test]
    fn a_job_finds_everything_that_was_promised() {
        let mut spec = spec();
        spec.user = "ada".into();
        spec.traceparent = Some("00-1-2-01".into());
        let env = of(&spec, &[], &[("PATH", "/bin")], None);
        let lines: Vec<String> = env.iter().map(|(k, v)| format!("{k}={v}")).collect();
        expect_test::expect![[r#"
            ATLAS_ATTEMPT=2
            ATLAS_CHECKPOINT_DIR=/k
            ATLAS_JOB_ID=45540b52-ffe2-44ab-9838-db467d3499c0
            ATLAS_PROJECT=p
            ATLAS_SPOOL=/c/spool/events
            ATLAS_TOKEN=atlas_job_x
            ATLAS_USER=ada
            CUDA_DEVICE_ORDER=PCI_BUS_ID
            CUDA_VISIBLE_DEVICES=
            FOUNDATIONS_HOME=/h/.foundations
            FOUNDATIONS_JOB_ID=45540b52-ffe2-44ab-9838-db467d3499c0
            FOUNDATIONS_PROJECT_NAME=p
            FOUNDATIONS_USER=ada
            FROM=node
            HOME=/h
            HTTP_PROXY=proxy
            LOGNAME=ada
            NO_PROXY=127.0.0.1
            NVIDIA_VISIBLE_DEVICES=void
            PATH=/bin:/b
            PYTHONPATH=/s
            PYTHONUNBUFFERED=1
            TMPDIR=/t
            TRACEPARENT=00-1-2-01
            USER=ada
            WANDB_KEY=hunter2
            no_proxy=127.0.0.1"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn a_user_may_change_what_is_not_a_promise() {
        let mut spec = spec();
        let given = [("HOME", "/mine"), ("FROM", "user"), ("PYTHONUNBUFFERED", "")];
        let forged = [
            ("ATLAS_JOB_ID", "x"),
            ("ATLAS_TOKEN", "x"),
            ("ATLAS_URL", "x"),
            ("CUDA_VISIBLE_DEVICES", "0,1"),
        ];
        for (name, value) in given.iter().chain(&forged) {
            spec.worker.env.insert((*name).into(), (*value).into());
        }
        let env =
            of(&spec, &["GPU-7"], &[("CUDA_VISIBLE_DEVICES", "all"), ("FROM", "image")], None);
        for (name, value) in given {
            assert_eq!(env[name], value);
        }
        assert_eq!(env["CUDA_VISIBLE_DEVICES"], "GPU-7");
        assert_eq!(env["NVIDIA_VISIBLE_DEVICES"], "GPU-7");
        assert!(env["ATLAS_JOB_ID"].starts_with("45540b52"));
        assert_eq!(env["ATLAS_TOKEN"], "atlas_job_x");
        assert_eq!(env.get("ATLAS_URL"), None, "the supervisor's to say");
    }

    #[test]
    fn what_a_site_says_of_its_proxy_is_kept_and_the_jobs_own_loopback_added() {
        let no_proxy = |given: &[(&str, &str)]| {
            let mut env: BTreeMap<String, String> =
                given.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
            without_proxy(&mut env, "127.0.0.1");
            ["no_proxy", "NO_PROXY"].map(|it| env.get(it).cloned().unwrap_or_default())
        };
        assert_eq!(no_proxy(&[]), ["", ""]);
        assert_eq!(no_proxy(&[("http_proxy", "p")]), ["127.0.0.1"; 2]);
        let one = no_proxy(&[("HTTP_PROXY", "p"), ("NO_PROXY", "a,b")]);
        assert_eq!(one, ["", "a,b,127.0.0.1"]);
        for kept in ["*", "x, 127.0.0.1"] {
            assert_eq!(no_proxy(&[("ALL_PROXY", "p"), ("no_proxy", kept)]), [kept, ""]);
        }
    }

    #[test]
    fn requirements_come_first_in_the_path() {
        let env = of(&spec(), &[], &[("PATH", "/bin")], Some("/v"));
        assert_eq!((env["PATH"].as_str(), env["VIRTUAL_ENV"].as_str()), ("/v/bin:/bin:/b", "/v"));
        assert!(of(&spec(), &[], &[], Some("/v"))["PATH"].starts_with("/v/bin:/usr/local"));
    }

    #[test]
    fn the_sdk_comes_last_in_the_path_of_python() {
        let path = |base: &[(&str, &str)]| of(&spec(), &[], base, None)["PYTHONPATH"].clone();
        assert_eq!(path(&[("PYTHONPATH", "/a:/b")]), "/a:/b:/s");
        assert_eq!(path(&[("PYTHONPATH", "")]), "/s");
        let mut spec = spec();
        spec.worker.env.insert("PYTHONPATH".into(), "src".into());
        assert_eq!(of(&spec, &[], &[("PYTHONPATH", "/a")], None)["PYTHONPATH"], "src:/s");
    }

    #[test]
    fn a_user_name_is_made_fit_for_file_names() {
        assert_eq!(user_name("ada@example.org"), "ada@example.org");
        assert_eq!(user_name("a/../b\n"), "a..b");
        assert_eq!(user_name("//"), "atlas");
    }
}
