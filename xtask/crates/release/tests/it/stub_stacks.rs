//! A small CloudFormation for commands as people run them: stacks are made and changed at once, and every answer can be another one.
//! So states that no local cloud comes into are met, and what was asked is known call by call.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use causeway_model::template;
use causeway_testing::Project;

/// Profiles and their accounts.
pub(crate) const ACCOUNTS: [(&str, &str); 3] =
    [("build", "111111111111"), ("dev", "222222222222"), ("prod", "333333333333")];

/// A status and a body.
pub(crate) type Reply = (u16, String);

/// A call: by whom, what, and with which parameters.
pub(crate) struct Call {
    pub(crate) account: &'static str,
    pub(crate) action: String,
    pub(crate) values: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Call {
    /// A parameter; empty where there is none.
    pub(crate) fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// The stack's name, also where its id is given.
    pub(crate) fn stack(&self) -> &str {
        let given = self.value("StackName");
        given.split(":stack/").nth(1).map_or(given, |rest| rest.split('/').next().unwrap_or(rest))
    }

    /// The values of a list, as in `ResourcesToSkip.member.1`.
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        let start = format!("{name}.member.");
        self.values
            .iter()
            .filter(|(key, _)| key.starts_with(&start))
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

/// A stack.
#[derive(Clone, Default)]
pub(crate) struct Stack {
    pub(crate) status: String,
    pub(crate) template: String,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) protected: bool,
    /// Logical id, type and state of each.
    pub(crate) resources: Vec<(String, String, String)>,
}

/// Says something else than the cloud would; nothing where it is to answer itself.
type Rewrite = Box<dyn FnMut(&mut Cloud, &Call) -> Option<Reply> + Send>;

/// A template and its parameters.
type Submitted = (String, BTreeMap<String, String>);

/// What there is.
#[derive(Default)]
pub(crate) struct Cloud {
    /// By account and name.
    pub(crate) stacks: BTreeMap<(String, String), Stack>,
    /// Template and parameters of change sets, by account, stack and name.
    sets: BTreeMap<(String, String, String), Submitted>,
    objects: BTreeMap<String, String>,
    /// What a change set of a stack that exists says, one `<member>` each.
    pub(crate) changes: Vec<String>,
    /// How many things are on a page of an answer; all of them where it is nothing.
    pub(crate) page: usize,
    /// How many seconds its clock is ahead of this machine's.
    pub(crate) clock: i64,
    /// Every call so far, as in `build DescribeStacks causeway-build-base`.
    pub(crate) asked: Vec<String>,
}

/// The service, and whoever changes its answers.
#[derive(Clone, Default)]
pub(crate) struct Aws(Arc<Mutex<Cloud>>, Arc<Mutex<Option<Rewrite>>>);

impl Aws {
    /// Starts it, and leads a project's commands to it.
    pub(crate) fn start(project: &mut Project) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let aws = Self::default();
        let serving = aws.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(&stream.unwrap()));
            }
        });
        let credentials = project.path().join("credentials");
        let keys = ACCOUNTS.map(|(name, _)| {
            let id = format!("AKIA{}", name.to_uppercase());
            format!("[causeway-{name}]\naws_access_key_id = {id}\naws_secret_access_key = example\n")
        });
        std::fs::write(&credentials, keys.concat()).unwrap();
        project.set("AWS_SHARED_CREDENTIALS_FILE", credentials.display().to_string());
        project.set("AWS_CONFIG_FILE", "/dev/null");
        project.set("AWS_ENDPOINT_URL", url);
        aws
    }

    /// What there is, to look at or to change.
    pub(crate) fn cloud(&self) -> MutexGuard<'_, Cloud> {
        self.0.lock().unwrap()
    }

    /// From now on every call is shown first.
    pub(crate) fn rewrite(&self, rewrite: impl FnMut(&mut Cloud, &Call) -> Option<Reply> + Send + 'static) {
        *self.1.lock().unwrap() = Some(Box::new(rewrite));
    }

    /// From now on no answer is changed.
    pub(crate) fn as_it_is(&self) {
        *self.1.lock().unwrap() = None;
    }

    /// What was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.cloud().asked)
    }

    /// Changes a stack.
    pub(crate) fn with<T>(&self, account: &str, stack: &str, change: impl FnOnce(&mut Stack) -> T) -> T {
        let mut cloud = self.cloud();
        change(cloud.stacks.get_mut(&(account.to_owned(), stack.to_owned())).unwrap())
    }

    /// Answers one call, and closes the connection.
    fn serve(&self, mut stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (found, value) = line.split_once(':')?;
                found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        if header("expect").is_some() {
            let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        let length = header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        if head.is_empty() || reader.read_exact(&mut body).is_err() {
            return;
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        let signed = header("authorization").unwrap_or_default();
        let account =
            ACCOUNTS.iter().find(|(name, _)| signed.contains(&format!("AKIA{}/", name.to_uppercase())));
        let values: BTreeMap<String, String> = form_urlencoded::parse(body.as_bytes())
            .map(|(key, value)| (key.into_owned(), value.into_owned()))
            .collect();
        let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
        let action = values.get("Action").cloned().or_else(|| header("x-amz-target")).unwrap_or(line);
        let call = Call { account: account.map_or("", |(name, _)| name), action, values, body };
        let (off, now) = (self.cloud().clock, causeway_machine::clock::now());
        let theirs = now + jiff::SignedDuration::from_secs(off);
        // A signature whose time is more than five minutes off is refused, as AWS does.
        let signed_at = header("x-amz-date").unwrap_or_default();
        let format = "%Y%m%dT%H%M%SZ";
        let age = jiff::civil::DateTime::strptime(format, &signed_at).map(|time| {
            theirs.as_second() - time.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_second()
        });
        let (status, text) = match age {
            Ok(age) if age.abs() > 300 => {
                let said =
                    format!("Signature expired: {signed_at} is now earlier than {}", theirs.strftime(format));
                match header("x-amz-target") {
                    Some(_) => {
                        (403, format!(r#"{{"__type":"InvalidSignatureException","message":"{said}"}}"#))
                    }
                    None => refused(403, "SignatureDoesNotMatch", &said),
                }
            }
            _ => self.answer(&call),
        };
        let date = theirs.strftime("%a, %d %b %Y %H:%M:%S GMT");
        let _ = write!(
            stream,
            "HTTP/1.1 {status} -\r\ndate: {date}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
            text.len()
        );
    }

    fn answer(&self, call: &Call) -> Reply {
        let mut rewrite = self.1.lock().unwrap();
        let mut cloud = self.cloud();
        let asked = format!("{} {} {}", call.account, call.action, call.stack());
        cloud.asked.push(asked.trim_end().to_owned());
        let changed = rewrite.as_mut().and_then(|rewrite| rewrite(&mut cloud, call));
        changed.unwrap_or_else(|| cloud.answer(call))
    }
}

/// An error of the query protocol.
pub(crate) fn refused(status: u16, code: &str, message: &str) -> Reply {
    (
        status,
        format!(
            "<ErrorResponse><Error><Code>{code}</Code><Message>{}</Message></Error></ErrorResponse>",
            escaped(message)
        ),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn result(action: &str, inner: &str) -> Reply {
    (200, format!("<{action}Response><{action}Result>{inner}</{action}Result></{action}Response>"))
}

fn pairs(list: &str, key: &str, value: &str, all: &BTreeMap<String, String>) -> String {
    let one = |(k, v): (&String, &String)| {
        format!("<member><{key}>{}</{key}><{value}>{}</{value}></member>", escaped(k), escaped(v))
    };
    format!("<{list}>{}</{list}>", all.iter().map(one).collect::<String>())
}

/// The outputs of a template, each with a value of its own.
fn outputs(text: &str) -> BTreeMap<String, String> {
    let Ok(root) = template::parse(text) else { return BTreeMap::new() };
    let names = root.get("Outputs").map(template::Node::entries).unwrap_or_default();
    let value = |name: &str| match name {
        "ConnectionArn" => "arn:aws:codeconnections:eu-central-1:111111111111:connection/0-1".to_owned(),
        "BucketName" => "causeway-bucket".to_owned(),
        _ => format!("arn:aws:kms:eu-central-1:111111111111:key/{name}"),
    };
    names.iter().map(|(key, _)| (key.name.clone(), value(&key.name))).collect()
}

fn resources(text: &str) -> Vec<(String, String, String)> {
    let Ok(root) = template::parse(text) else { return Vec::new() };
    let all = root.get("Resources").map(template::Node::entries).unwrap_or_default();
    let kind = |node: &template::Node| {
        node.get("Type").and_then(template::Node::as_str).unwrap_or_default().to_owned()
    };
    all.iter().map(|(key, node)| (key.name.clone(), kind(node), "CREATE_COMPLETE".to_owned())).collect()
}

impl Cloud {
    /// A page of something, and where the next one begins.
    fn paged(&self, call: &Call, list: &str, all: &[String]) -> String {
        let from: usize = call.value("NextToken").parse().unwrap_or(0);
        let to = if self.page == 0 { all.len() } else { all.len().min(from + self.page) };
        let mut text = format!("<{list}>{}</{list}>", all[from..to].concat());
        if to < all.len() {
            let _ = write!(text, "<NextToken>{to}</NextToken>");
        }
        text
    }

    fn answer(&mut self, call: &Call) -> Reply {
        let (account, name) = (call.account.to_owned(), call.stack().to_owned());
        let key = (account.clone(), name.clone());
        let id = format!("arn:aws:cloudformation:eu-central-1:{account}:stack/{name}/1");
        let action = call.action.as_str();
        let absent = || refused(400, "ValidationError", &format!("Stack with id {name} does not exist"));
        if let Some(path) = action.strip_prefix("PUT ") {
            self.objects.insert(path.split('?').next().unwrap_or(path).to_owned(), call.body.clone());
            return (200, String::new());
        }
        if action.starts_with("HEAD ") || action.starts_with("GET ") {
            return (404, String::new());
        }
        if action.ends_with(".GetConnection") {
            return (200, r#"{"Connection":{"ConnectionStatus":"AVAILABLE"}}"#.to_owned());
        }
        match action {
            "GetCallerIdentity" => {
                let id = ACCOUNTS.iter().find(|(name, _)| *name == account).map_or("", |(_, id)| id);
                result(action, &format!("<Account>{id}</Account><Arn>arn:aws:iam::{id}:user/ann</Arn>"))
            }
            "DescribeStacks" => match self.stacks.get(&key) {
                None => absent(),
                Some(stack) => result(
                    action,
                    &format!("<Stacks><member>{}</member></Stacks>", described(&name, &id, stack)),
                ),
            },
            "ListStacks" => {
                let own = self.stacks.iter().filter(|((of, _), _)| *of == account);
                let all: Vec<String> = own
                    .map(|((_, name), stack)| format!("<member><StackName>{name}</StackName><StackId>{name}</StackId><CreationTime>2026-01-01T00:00:00Z</CreationTime><StackStatus>{}</StackStatus></member>", stack.status))
                    .collect();
                result(action, &self.paged(call, "StackSummaries", &all))
            }
            "GetTemplate" => match self.stacks.get(&key) {
                None => absent(),
                Some(stack) if stack.status == "REVIEW_IN_PROGRESS" => {
                    refused(400, "ValidationError", &format!("Stack [{name}] has no template"))
                }
                Some(stack) => {
                    result(action, &format!("<TemplateBody>{}</TemplateBody>", escaped(&stack.template)))
                }
            },
            "CreateChangeSet" => {
                let url = call.value("TemplateURL");
                let by_url = url
                    .splitn(4, '/')
                    .nth(3)
                    .map(|path| format!("/{}", path.split('?').next().unwrap_or(path)));
                let text = match by_url {
                    Some(path) => self.objects.get(&path).cloned().unwrap_or_default(),
                    None => call.value("TemplateBody").to_owned(),
                };
                let parameters: BTreeMap<String, String> = (1..)
                    .map_while(|n| {
                        let part =
                            |what: &str| call.values.get(&format!("Parameters.member.{n}.{what}")).cloned();
                        Some((part("ParameterKey")?, part("ParameterValue").unwrap_or_default()))
                    })
                    .collect();
                let set = call.value("ChangeSetName").to_owned();
                self.sets.insert((account, name, set.clone()), (text, parameters));
                if call.value("ChangeSetType") == "CREATE" {
                    self.stacks.entry(key).or_insert_with(|| Stack {
                        status: "REVIEW_IN_PROGRESS".to_owned(),
                        ..Stack::default()
                    });
                }
                result(action, &format!("<Id>{set}</Id><StackId>{id}</StackId>"))
            }
            "DescribeChangeSet" => {
                let set = call.value("ChangeSetName");
                let page = self.paged(call, "Changes", &self.changes);
                result(
                    action,
                    &format!(
                        "<ChangeSetId>{set}</ChangeSetId><ChangeSetName>{set}</ChangeSetName><Status>CREATE_COMPLETE</Status><ExecutionStatus>AVAILABLE</ExecutionStatus>{page}"
                    ),
                )
            }
            "ExecuteChangeSet" => {
                let Some((text, parameters)) =
                    self.sets.remove(&(account, name, call.value("ChangeSetName").to_owned()))
                else {
                    return refused(404, "ChangeSetNotFound", "no such change set");
                };
                let stack = self.stacks.entry(key).or_default();
                let status =
                    if stack.status == "REVIEW_IN_PROGRESS" { "CREATE_COMPLETE" } else { "UPDATE_COMPLETE" };
                *stack = Stack {
                    status: status.to_owned(),
                    resources: resources(&text),
                    template: text,
                    parameters,
                    ..stack.clone()
                };
                result(action, "")
            }
            "DeleteChangeSet" => {
                self.sets.remove(&(account, name, call.value("ChangeSetName").to_owned()));
                result(action, "")
            }
            "DeleteStack" => {
                self.stacks.remove(&key);
                result(action, "")
            }
            "UpdateTerminationProtection" => {
                let on = call.value("EnableTerminationProtection") == "true";
                self.stacks.get_mut(&key).map_or_else(absent, |stack| {
                    stack.protected = on;
                    result(action, "")
                })
            }
            "ContinueUpdateRollback" => self.stacks.get_mut(&key).map_or_else(absent, |stack| {
                stack.status = "UPDATE_ROLLBACK_COMPLETE".to_owned();
                result(action, "")
            }),
            "DescribeStackEvents" => result(action, "<StackEvents></StackEvents>"),
            "DescribeEvents" => result(action, "<OperationEvents></OperationEvents>"),
            "ListStackResources" => {
                let all: Vec<String> = self.stacks.get(&key).map(|stack| stack.resources.clone()).unwrap_or_default()
                    .iter()
                    .map(|(id, kind, status)| format!("<member><LogicalResourceId>{id}</LogicalResourceId><PhysicalResourceId>physical-{id}</PhysicalResourceId><ResourceType>{kind}</ResourceType><ResourceStatus>{status}</ResourceStatus><LastUpdatedTimestamp>2026-01-01T00:00:00Z</LastUpdatedTimestamp></member>"))
                    .collect();
                result(action, &self.paged(call, "StackResourceSummaries", &all))
            }
            "ListSubscriptionsByTopic" => result(
                action,
                "<Subscriptions><member><SubscriptionArn>arn:aws:sns:eu-central-1:111111111111:t:1</SubscriptionArn></member></Subscriptions>",
            ),
            _ => refused(400, "NotInThisStub", action),
        }
    }
}

/// A stack, as DescribeStacks says it.
fn described(name: &str, id: &str, stack: &Stack) -> String {
    format!(
        "<StackName>{name}</StackName><StackId>{id}</StackId><CreationTime>2026-01-01T00:00:00Z</CreationTime><StackStatus>{}</StackStatus><EnableTerminationProtection>{}</EnableTerminationProtection>{}{}{}",
        stack.status,
        stack.protected,
        pairs("Parameters", "ParameterKey", "ParameterValue", &stack.parameters),
        pairs("Outputs", "OutputKey", "OutputValue", &outputs(&stack.template)),
        pairs("Tags", "Key", "Value", &stack.tags)
    )
}
