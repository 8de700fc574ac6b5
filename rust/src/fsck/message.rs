//! The names of what can be wrong (Git's document `fsck-msgids`), and how grave it is.

use crate::hash::IdSet;

/// What becomes of an object with a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing, and nothing is said.
    Ignore,
    /// It is said.
    Info,
    /// It is said; an error where rules are strict.
    Warn,
    /// The object is refused.
    Error,
    /// The object is refused whatever the rules say: nobody could read it.
    Fatal,
}

macro_rules! messages {
    ($($name:ident $text:literal $severity:ident,)*) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "Git's document has them")]
        pub enum Message { $($name,)* }

        impl Message {
            /// All of them.
            pub const ALL: &'static [Message] = &[$(Message::$name,)*];

            /// As in configuration, `fsck.<name>`.
            pub const fn name(self) -> &'static str {
                match self { $(Message::$name => $text,)* }
            }

            /// Where nothing is configured.
            pub const fn severity(self) -> Severity {
                match self { $(Message::$name => Severity::$severity,)* }
            }
        }
    };
}

messages! {
    BadDate "badDate" Error,
    BadDateOverflow "badDateOverflow" Error,
    BadEmail "badEmail" Error,
    BadFilemode "badFilemode" Info,
    BadGpgsig "badGpgsig" Error,
    BadHeaderContinuation "badHeaderContinuation" Error,
    BadName "badName" Error,
    BadObjectSha1 "badObjectSha1" Error,
    BadParentSha1 "badParentSha1" Error,
    BadTagName "badTagName" Info,
    BadTimezone "badTimezone" Error,
    BadTree "badTree" Error,
    BadTreeSha1 "badTreeSha1" Error,
    BadType "badType" Error,
    DuplicateEntries "duplicateEntries" Error,
    EmptyName "emptyName" Warn,
    ExtraHeaderEntry "extraHeaderEntry" Ignore,
    FullPathname "fullPathname" Warn,
    GitattributesBlob "gitattributesBlob" Error,
    GitattributesLarge "gitattributesLarge" Error,
    GitattributesLineLength "gitattributesLineLength" Error,
    GitattributesMissing "gitattributesMissing" Error,
    GitattributesSymlink "gitattributesSymlink" Info,
    GitignoreSymlink "gitignoreSymlink" Info,
    GitmodulesBlob "gitmodulesBlob" Error,
    GitmodulesLarge "gitmodulesLarge" Error,
    GitmodulesMissing "gitmodulesMissing" Error,
    GitmodulesName "gitmodulesName" Error,
    GitmodulesParse "gitmodulesParse" Info,
    GitmodulesPath "gitmodulesPath" Error,
    GitmodulesSymlink "gitmodulesSymlink" Error,
    GitmodulesUpdate "gitmodulesUpdate" Error,
    GitmodulesUrl "gitmodulesUrl" Error,
    HasDot "hasDot" Warn,
    HasDotdot "hasDotdot" Warn,
    HasDotgit "hasDotgit" Warn,
    LargePathname "largePathname" Warn,
    MailmapSymlink "mailmapSymlink" Info,
    MissingAuthor "missingAuthor" Error,
    MissingCommitter "missingCommitter" Error,
    MissingEmail "missingEmail" Error,
    MissingNameBeforeEmail "missingNameBeforeEmail" Error,
    MissingObject "missingObject" Error,
    MissingSpaceBeforeDate "missingSpaceBeforeDate" Error,
    MissingSpaceBeforeEmail "missingSpaceBeforeEmail" Error,
    MissingTag "missingTag" Error,
    MissingTagEntry "missingTagEntry" Error,
    MissingTaggerEntry "missingTaggerEntry" Info,
    MissingTree "missingTree" Error,
    MissingType "missingType" Error,
    MissingTypeEntry "missingTypeEntry" Error,
    MultipleAuthors "multipleAuthors" Error,
    NulInCommit "nulInCommit" Warn,
    NulInHeader "nulInHeader" Fatal,
    NullSha1 "nullSha1" Warn,
    TreeNotSorted "treeNotSorted" Error,
    UnterminatedHeader "unterminatedHeader" Fatal,
    ZeroPaddedDate "zeroPaddedDate" Error,
    ZeroPaddedFilemode "zeroPaddedFilemode" Warn,
}

/// One thing wrong with one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What kind.
    pub message: Message,
    /// For people.
    pub text: &'static str,
}

impl Fault {
    pub(super) const fn new(message: Message, text: &'static str) -> Self {
        Self { message, text }
    }
}

/// What is borne with.
#[derive(Debug, Clone)]
pub struct Rules {
    severities: Vec<Severity>,
    /// Objects that are not looked at.
    pub skip: IdSet,
}

impl Default for Rules {
    /// As git takes packs: warnings are errors.
    fn default() -> Self {
        let strict = |message: &Message| match message.severity() {
            Severity::Warn => Severity::Error,
            other => other,
        };
        Self { severities: Message::ALL.iter().map(strict).collect(), skip: IdSet::default() }
    }
}

impl Rules {
    /// Says how grave a kind of fault is. False: it is a fatal one, which stays fatal.
    pub fn set(&mut self, message: Message, severity: Severity) -> bool {
        if message.severity() == Severity::Fatal && severity != Severity::Error {
            return false;
        }
        self.severities[message as usize] = severity;
        true
    }

    /// How grave it is here.
    pub fn severity(&self, message: Message) -> Severity {
        self.severities[message as usize]
    }
}
