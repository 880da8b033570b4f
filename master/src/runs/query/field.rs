//! What a run can be asked for.

/// A property of a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    Id,
    Project,
    User,
    Name,
    Status,
    Phase,
    Cause,
    Node,
    Submitted,
    Started,
    Ended,
    Duration,
    Attempt,
    NumGpus,
    /// Whether what it wrote is kept.
    Outputs,
    Tag(String),
    Param(String),
    Metric(String, Stat),
}

/// What is kept of all the points of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stat {
    /// The value of the highest step.
    Last,
    Min,
    Max,
    Count,
}

/// What a field's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// One of a few words.
    Word,
    Number,
    Time,
    Duration,
    /// Whatever was logged.
    Any,
}

const FIXED: [(&str, Field); 15] = [
    ("id", Field::Id),
    ("project", Field::Project),
    ("user", Field::User),
    ("name", Field::Name),
    ("status", Field::Status),
    ("phase", Field::Phase),
    ("cause", Field::Cause),
    ("node", Field::Node),
    ("submitted", Field::Submitted),
    ("started", Field::Started),
    ("ended", Field::Ended),
    ("duration", Field::Duration),
    ("attempt", Field::Attempt),
    ("num_gpus", Field::NumGpus),
    ("outputs", Field::Outputs),
];

/// What stands before the point of a field with a key.
pub const KEYED: [&str; 3] = ["tags", "params", "metrics"];

impl Field {
    /// The field of a fixed name.
    pub fn fixed(name: &str) -> Option<Self> {
        FIXED.iter().find(|it| it.0 == name).map(|it| it.1.clone())
    }

    /// Every name that can begin a field.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FIXED.iter().map(|it| it.0).chain(KEYED)
    }

    /// `tags.best`, of which `best` may have been quoted.
    pub fn keyed(of: &str, key: &str, stat: Option<Stat>) -> Option<Self> {
        match (of, stat) {
            ("tags", None) => Some(Self::Tag(key.to_owned())),
            ("params", None) => Some(Self::Param(key.to_owned())),
            ("metrics", stat) => Some(Self::Metric(key.to_owned(), stat.unwrap_or(Stat::Last))),
            _ => None,
        }
    }

    /// The name of a fixed field; for others what stands before the point.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Tag(_) => "tags",
            Self::Param(_) => "params",
            Self::Metric(..) => "metrics",
            fixed => FIXED.iter().find(|it| it.1 == *fixed).expect("every other one is there").0,
        }
    }

    /// Whether it has a key.
    pub fn is_keyed(&self) -> bool {
        KEYED.contains(&self.word())
    }

    /// If it has a key and is not among these yet.
    pub fn add_to(self, keys: &mut Vec<Self>) {
        if self.is_keyed() && !keys.contains(&self) {
            keys.push(self);
        }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::Id | Self::Project | Self::User | Self::Name | Self::Node | Self::Tag(_) => {
                Kind::Text
            }
            Self::Status | Self::Phase | Self::Cause | Self::Outputs => Kind::Word,
            Self::Submitted | Self::Started | Self::Ended => Kind::Time,
            Self::Duration => Kind::Duration,
            Self::Attempt | Self::NumGpus => Kind::Number,
            Self::Param(_) | Self::Metric(..) => Kind::Any,
        }
    }
}

impl Stat {
    const ALL: [Self; 4] = [Self::Last, Self::Min, Self::Max, Self::Count];

    pub fn word(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Min => "min",
            Self::Max => "max",
            Self::Count => "count",
        }
    }

    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.word() == word)
    }
}
