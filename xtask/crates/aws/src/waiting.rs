//! What is said while a service does not answer, how long an answer is waited for, and when an answer that cannot be read is
//! asked for again.
//!
//! A connection that is taken and then never answered looks like work: nothing fails, and nobody is told. So every call has
//! limits that a person would wait, and says who is waited for before they are over.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextRef, FinalizerInterceptorContextRef, InterceptorContext,
};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use causeway_machine::clock;
use jiff::fmt::rfc2822;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until a connection stands.
    pub connect: Duration,
    /// Until one attempt is answered whole.
    pub answer: Duration,
    /// Every attempt of a call together, and the pauses between them.
    pub budget: Duration,
    /// Until who is waited for is said, and then between two times of saying it.
    pub words: (Duration, Duration),
    /// The pause before the second attempt; the next ones double it.
    pub pause: Duration,
}

/// What a person waits.
const OURS: Limits = Limits {
    connect: Duration::from_secs(5),
    answer: Duration::from_secs(20),
    budget: Duration::from_secs(60),
    words: (Duration::from_secs(10), Duration::from_secs(30)),
    pause: Duration::from_secs(1),
};

/// How many seconds a clock may be off before it is said: AWS refuses a signature that is older ("Troubleshooting Signature
/// Version 4" in the IAM user guide).
const MOST_OFF: i64 = 300;

/// How much longer than any other call one that carries a package may take: a slow line is no silence.
const UPLOAD: u32 = 6;

/// The limits in force, where a test has set others.
static SHORTER: OnceLock<Limits> = OnceLock::new();

impl Limits {
    /// Those in force.
    pub fn now() -> Self {
        SHORTER.get().copied().unwrap_or(OURS)
    }

    /// The same proportions around another limit of an answer, so that what takes a minute is seen in a second.
    pub fn around(answer: Duration) -> Self {
        let part = |of: Duration| answer.mul_f64(of.as_secs_f64() / OURS.answer.as_secs_f64());
        Self {
            connect: part(OURS.connect).max(Duration::from_millis(500)),
            answer,
            budget: part(OURS.budget),
            words: (part(OURS.words.0), part(OURS.words.1)),
            pause: part(OURS.pause),
        }
    }

    /// Puts others in force for this process, before its first call. Only the program that tests the project does.
    pub fn shorten(self) {
        let _ = SHORTER.set(self);
    }

    /// For the SDK's clients.
    pub(super) fn timeouts(self) -> TimeoutConfig {
        self.times(1)
    }

    /// The same for a client that carries packages.
    pub(super) fn of_uploads(self) -> TimeoutConfig {
        self.times(UPLOAD)
    }

    fn times(self, times: u32) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(self.connect)
            .operation_attempt_timeout(self.answer * times)
            .operation_timeout(self.budget * times)
            .build()
    }

    /// How often, and after which pauses, a call is tried again.
    pub(super) fn retries(self) -> RetryConfig {
        RetryConfig::standard().with_max_attempts(5).with_initial_backoff(self.pause)
    }
}

/// Where it is said that something is waited for.
#[derive(Clone, Default)]
pub struct Say {
    to: Option<Arc<dyn Fn(String) + Send + Sync>>,
    /// Whether it was said that this machine's clock is off: once is enough for all accounts.
    clock: Arc<AtomicBool>,
}

impl Say {
    /// Says it to this one.
    pub fn to(say: impl Fn(String) + Send + Sync + 'static) -> Self {
        Self { to: Some(Arc::new(say)), clock: Arc::default() }
    }

    fn say(&self, text: String) {
        if let Some(say) = &self.to {
            say(text);
        }
    }

    /// Says once that this machine's clock is off, by the time that an answer has in its `Date`. The SDK signs for the service's
    /// time from then on, so nothing else would tell, and whatever has a time of ours would be wrong.
    fn clock(&self, date: &str) {
        let Ok(theirs) = rfc2822::parse(date) else { return };
        let seconds = theirs.timestamp().as_second() - clock::now().as_second();
        if seconds.abs() > MOST_OFF && !self.clock.swap(true, Ordering::Relaxed) {
            let (minutes, how) = (seconds.abs() / 60, if seconds > 0 { "behind" } else { "ahead of" });
            self.say(format!("this machine's clock is {minutes} minutes {how} the service's: set it; calls are signed for the service's time, and times that are shown here are wrong"));
        }
    }
}

impl fmt::Debug for Say {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.to.is_some() { "Say(somebody)" } else { "Say(nobody)" })
    }
}

/// Says during each call of an account's clients, if it takes long, who is waited for.
#[derive(Debug)]
pub(super) struct Talk {
    account: String,
    say: Say,
}

impl Talk {
    pub(super) fn new(account: &str, say: &Say) -> Self {
        Self { account: account.to_owned(), say: say.clone() }
    }
}

/// A call that is waited for. Dropped with it, it falls silent, however the call ends.
#[derive(Debug)]
struct Waiting {
    task: AbortHandle,
    /// How the last attempt ended, where one has.
    last: Arc<Mutex<Option<String>>>,
}

impl Storable for Waiting {
    type Storer = StoreReplace<Self>;
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Intercept for Talk {
    fn name(&self) -> &'static str {
        "Talk"
    }

    /// Not before the execution: which operation it is, is known to a client's interceptors from here on.
    fn read_before_serialization(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if self.say.to.is_none() {
            return Ok(());
        }
        let of = |part: fn(&Metadata) -> &str| cfg.load::<Metadata>().map_or("", part).to_owned();
        let (service, operation) = (of(Metadata::service), of(Metadata::name));
        let whom = format!("{service} ({operation} in {})", self.account);
        let (say, last) = (self.say.clone(), Arc::<Mutex<Option<String>>>::default());
        let told = Arc::clone(&last);
        let limits = Limits::now();
        let begin = Instant::now();
        let task = tokio::spawn(async move {
            let mut due = limits.words.0;
            loop {
                sleep_until(begin + due).await;
                let last = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
                say.say(waits(&whom, due, last.as_deref()));
                due += limits.words.1;
            }
        });
        cfg.interceptor_state().store_put(Waiting { task: task.abort_handle(), last });
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().and_then(|response| response.headers().get("date")) {
            self.say.clock(date);
        }
        if let Some(waiting) = cfg.load::<Waiting>() {
            let status = context.response().map(|response| response.status().as_u16());
            let said = status.map_or_else(
                || "no answer came so far".to_owned(),
                |status| format!("its last answer had status {status}"),
            );
            *waiting.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(said);
        }
        Ok(())
    }

    fn read_after_execution(
        &self,
        _: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(waiting) = cfg.load::<Waiting>() {
            waiting.task.abort();
        }
        Ok(())
    }
}

/// What is said of a call that takes long.
fn waits(whom: &str, since: Duration, last: Option<&str>) -> String {
    let last = last.unwrap_or("the connection stands, or is being made");
    format!("waiting for {whom} since {} s: {last}", since.as_secs_f64().round())
}

/// Has a call tried again whose answer says that it worked and cannot be read: something on the way garbled it, as it could
/// have lost it, and a lost one is tried again, too.
#[derive(Debug)]
pub(super) struct Unreadable;

impl ClassifyRetry for Unreadable {
    fn name(&self) -> &'static str {
        "Unreadable"
    }

    fn classify_retry(&self, ctx: &InterceptorContext) -> RetryAction {
        let is_good = ctx.response().is_some_and(|response| response.status().is_success());
        let is_read = !matches!(ctx.output_or_error(), Some(Err(_)));
        if is_good && !is_read { RetryAction::transient_error() } else { RetryAction::NoActionIndicated }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::cloudformation::Stacks;
    use crate::rollouts::Rollouts;
    use crate::scripted::{Script, result};
    use crate::session::Account;
    use causeway_model::fault::{Kind, from_error};

    /// A service that takes every connection and never answers.
    async fn silent() -> (Arc<AtomicUsize>, String) {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (taken, address) = (Arc::<AtomicUsize>::default(), listener.local_addr().unwrap());
        let count = Arc::clone(&taken);
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                held.push(stream);
            }
        });
        (taken, format!("http://{address}"))
    }

    fn heard() -> (Arc<Mutex<Vec<String>>>, Say) {
        let all = Arc::<Mutex<Vec<String>>>::default();
        let to = Arc::clone(&all);
        (all, Say::to(move |text| to.lock().unwrap().push(text)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_never_answers_is_named_and_given_up() {
        let (taken, url) = silent().await;
        let (said, say) = heard();
        let begin = Instant::now();
        let account = Account::at(&url).waiting(&say);
        let fault = from_error(&Stacks::new(&account).describe("app").await.unwrap_err());
        assert_eq!(fault.kind, Kind::TimedOut, "{fault}");
        assert!(fault.next.contains("reaches AWS"), "{}", fault.next);
        assert_eq!(begin.elapsed().as_secs(), 60, "the budget of all attempts");
        assert!(taken.load(Ordering::SeqCst) >= 2, "an attempt is given up before the call is");
        let said = said.lock().unwrap().clone();
        let whom = "waiting for CloudFormation (DescribeStacks in dev) since";
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].starts_with(&format!("{whom} 10 s: ")), "{said:?}");
        assert!(said[1].starts_with(&format!("{whom} 40 s: no answer came so far")), "{said:?}");
    }

    /// The services that are called without an SDK's client are no different.
    #[tokio::test(start_paused = true)]
    async fn so_is_one_that_is_called_in_json() {
        let (said, say) = heard();
        let account = Account::at(&silent().await.1).waiting(&say);
        let begin = Instant::now();
        let error = Rollouts::new(&account).alarms(&["a".to_owned()]).await.unwrap_err();
        assert_eq!((from_error(&error).kind, begin.elapsed().as_secs()), (Kind::TimedOut, 60));
        let said = said.lock().unwrap().clone();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("CloudWatch (DescribeAlarms in dev) since 10 s"), "{said:?}");
    }

    #[tokio::test]
    async fn a_clock_that_is_off_is_told_once_whatever_the_answer_was() {
        let now = clock::now().as_second();
        for (off, expected) in [
            (3_600, Some("60 minutes behind")),
            (-3_600, Some("60 minutes ahead of")),
            (290, None),
            (-290, None),
        ] {
            let then = jiff::Timestamp::from_second(now + off).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
            let date = rfc2822::to_string(&then);
            let headers = || vec![("date", date.clone().unwrap())];
            let denied =
                super::super::scripted::error(400, "ValidationError", "Stack with id a does not exist");
            let (said, say) = heard();
            let (_, account) =
                Script::with_headers(vec![(denied.clone(), headers()), (denied, headers())]).await;
            let account = account.waiting_too(&say);
            for _ in 0..2 {
                assert!(Stacks::new(&account).describe("a").await.unwrap().is_none());
            }
            let said = said.lock().unwrap().clone();
            assert_eq!(said.len(), usize::from(expected.is_some()), "{off}: {said:?}");
            assert!(said.iter().all(|text| text.contains(expected.unwrap_or_default())), "{said:?}");
        }
    }

    #[tokio::test]
    async fn nothing_is_said_of_a_quick_answer_and_an_unreadable_one_is_asked_for_again() {
        let stack = "<Stacks><member><StackName>app</StackName><StackId>i</StackId><StackStatus>CREATE_COMPLETE</StackStatus><CreationTime>2026-11-28T00:00:00Z</CreationTime></member></Stacks>";
        for garbage in ["<html>", "", "\u{0}\u{1}", "<DescribeStacksResponse><Describe"] {
            let replies = vec![(200, garbage.to_owned()), result("DescribeStacks", stack)];
            let (said, say) = heard();
            let (script, account) = Script::start(replies).await;
            let account = account.retrying().waiting_too(&say);
            let found = Stacks::new(&account).describe("app").await;
            assert_eq!(found.unwrap().unwrap().status.to_string(), "CREATE_COMPLETE", "{garbage}");
            assert_eq!(script.asked().len(), 2, "{garbage}");
            assert_eq!(said.lock().unwrap().len(), 0);
        }
    }

    #[test]
    fn limits_keep_their_proportions() {
        let short = Limits::around(Duration::from_secs(2));
        assert_eq!((short.answer, short.budget), (Duration::from_secs(2), Duration::from_secs(6)));
        assert_eq!(short.words, (Duration::from_secs(1), Duration::from_secs(3)));
        assert_eq!((short.connect, short.pause), (Duration::from_millis(500), Duration::from_millis(100)));
        assert_eq!(Limits::around(OURS.answer), OURS);
    }
}
