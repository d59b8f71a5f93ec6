//! The queues, rules and topics that a test creates, and removes at its end.

use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_eventbridge::types::{PutEventsRequestEntry, Target};
use aws_sdk_sqs::types::QueueAttributeName;
use drainhook::aws::clients::http_client;
use drainhook::serve::Service;
use serde_json::{Value, json};
use sim::world::{Outgoing, WorldConfig};

use crate::support::daemon::{Stage, Variables, in_time};

/// The default. Set `AWS_REGION` for the Region of an account.
const REGION: &str = "eu-west-1";

/// Only AWS services can send events with a source that begins with `aws.`.
const SOURCE: &str = "drainhook.simulator";

/// Clients for the AWS that the environment names.
pub struct Cloud {
    config: SdkConfig,
    pub sqs: aws_sdk_sqs::Client,
    events: aws_sdk_eventbridge::Client,
    sns: aws_sdk_sns::Client,
    /// The name of the group, and the prefix of the names of all resources here.
    pub group: String,
    made: Mutex<Vec<Made>>,
}

enum Made {
    Queue(String),
    Rule(String),
    Topic(String),
}

/// A queue of a test.
#[derive(Debug, Clone)]
pub struct Queue {
    pub url: String,
    pub arn: String,
}

/// Runs a test, and removes its resources even if it fails.
pub async fn in_cloud<F: Future<Output = ()> + Send + 'static>(test: impl FnOnce(Arc<Cloud>) -> F) {
    let cloud = Arc::new(Cloud::connect().await);
    let ended = tokio::spawn(test(Arc::clone(&cloud))).await;
    cloud.remove_all().await;
    if let Err(error) = ended {
        std::panic::resume_unwind(error.into_panic());
    }
}

impl Cloud {
    async fn connect() -> Self {
        let loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http_client());
        let region = std::env::var("AWS_REGION").unwrap_or_else(|_| REGION.to_owned());
        Cloud::of(loader.region(Region::new(region)).load().await)
    }

    /// Clients with a configuration.
    pub fn of(config: SdkConfig) -> Self {
        Cloud {
            sqs: aws_sdk_sqs::Client::new(&config),
            events: aws_sdk_eventbridge::Client::new(&config),
            sns: aws_sdk_sns::Client::new(&config),
            group: format!("drainhook-test-{:08x}", fastrand::u32(..)),
            made: Mutex::default(),
            config,
        }
    }

    /// The URL of all services. An AWS account has none.
    pub fn endpoint(&self) -> &str {
        self.config.endpoint_url().expect("tests/localstack/run sets AWS_ENDPOINT_URL")
    }

    /// Creates a queue that EventBridge and SNS may send to, like the Terraform module's.
    pub async fn queue(&self, name: &str) -> Queue {
        let create = self.sqs.create_queue().queue_name(format!("{}-{name}", self.group));
        let create = create.attributes(QueueAttributeName::MessageRetentionPeriod, "3600");
        let created = create.send().await.expect("CreateQueue");
        let url = created.queue_url().expect("CreateQueue returns a URL").to_owned();
        self.made(Made::Queue(url.clone()));
        let attributes = self.sqs.get_queue_attributes().queue_url(&url);
        let attributes = attributes
            .attribute_names(QueueAttributeName::QueueArn)
            .send()
            .await
            .expect("GetQueueAttributes");
        let arn = attributes.attributes().expect("an attribute")[&QueueAttributeName::QueueArn].clone();
        let senders = json!({"Service": ["events.amazonaws.com", "sns.amazonaws.com"]});
        let allow =
            json!({"Effect": "Allow", "Principal": senders, "Action": "sqs:SendMessage", "Resource": &arn});
        let policy = json!({"Version": "2012-10-17", "Statement": [allow]}).to_string();
        let set = self.sqs.set_queue_attributes().queue_url(&url);
        set.attributes(QueueAttributeName::Policy, policy).send().await.expect("SetQueueAttributes");
        Queue { url, arn }
    }

    /// Creates a rule that sends the group's terminations to the queue.
    pub async fn rule(&self, queue: &Queue) {
        let pattern = json!({
            "detail-type": ["EC2 Instance-terminate Lifecycle Action"],
            "detail": {"AutoScalingGroupName": [self.group]},
        });
        self.rule_for(queue, &pattern).await;
    }

    /// Creates a rule that sends the events of this pattern to the queue.
    pub async fn rule_for(&self, queue: &Queue, pattern: &Value) {
        let put = self.events.put_rule().name(&self.group).event_pattern(pattern.to_string());
        put.send().await.expect("PutRule");
        self.made(Made::Rule(self.group.clone()));
        let target = Target::builder().id("queue").arn(&queue.arn).build().expect("a target");
        let put =
            self.events.put_targets().rule(&self.group).targets(target).send().await.expect("PutTargets");
        assert_eq!(put.failed_entry_count(), 0, "{put:?}");
    }

    /// Creates a topic with a subscription of the queue, and returns the topic's ARN. With `raw`, SNS adds no envelope.
    pub async fn topic(&self, queue: &Queue, raw: bool) -> String {
        let created = self.sns.create_topic().name(&self.group).send().await.expect("CreateTopic");
        let arn = created.topic_arn().expect("CreateTopic returns an ARN").to_owned();
        self.made(Made::Topic(arn.clone()));
        let subscribe = self.sns.subscribe().topic_arn(&arn).protocol("sqs").endpoint(&queue.arn);
        let subscribe = subscribe.attributes("RawMessageDelivery", raw.to_string());
        subscribe.send().await.expect("Subscribe");
        arn
    }

    /// A world in this Region. Its messages do not go to simulated queues: [`carry`](Self::carry) delivers them.
    pub fn world(&self, world: WorldConfig) -> WorldConfig {
        let region = self.config.region().expect("set").to_string();
        let mut world = WorldConfig { region, group: self.group.clone(), queue: None, ..world };
        world.delivery.outside = true;
        world
    }

    /// Delivers the messages of the simulator's Auto Scaling to EventBridge, the queue or the topic, until the test
    /// ends.
    pub fn carry(self: &Arc<Self>, service: &Arc<Service>) {
        self.carry_copies(service, 1);
    }

    /// Delivers each message this many times.
    pub fn carry_copies(self: &Arc<Self>, service: &Arc<Service>, copies: usize) {
        let (cloud, service) = (Arc::clone(self), Arc::clone(service));
        tokio::spawn(async move {
            let mut changed = service.subscribe();
            loop {
                changed.borrow_and_update();
                for outgoing in service.world(|world, _| world.take_outgoing()) {
                    for _ in 0..copies {
                        cloud.send_on(&outgoing).await;
                    }
                }
                if changed.changed().await.is_err() {
                    return;
                }
            }
        });
    }

    async fn send_on(&self, Outgoing { target, body }: &Outgoing) {
        match target.as_deref() {
            None => self.put_event(body).await,
            Some(topic) if topic.starts_with("arn:aws:sns:") => {
                eprintln!("Auto Scaling to the topic {topic}: {body}");
                let subject = "Auto Scaling:  Lifecycle action 'TERMINATING' in progress.";
                let publish = self.sns.publish().topic_arn(topic).subject(subject).message(body.as_str());
                publish.send().await.expect("Publish");
            }
            Some(queue) => {
                let name = queue.rsplit(':').next().expect("an ARN");
                eprintln!("Auto Scaling to the queue {name}: {body}");
                let url = self.sqs.get_queue_url().queue_name(name).send().await.expect("GetQueueUrl");
                self.send(url.queue_url().expect("GetQueueUrl returns a URL"), body).await;
            }
        }
    }

    /// Puts an event into EventBridge, as AWS's services do.
    pub async fn put_event(&self, body: &str) {
        eprintln!("to EventBridge: {body}");
        let event: Value = serde_json::from_str(body).expect("JSON");
        let word = |field: &str| event[field].as_str().expect("a text").to_owned();
        let entry = PutEventsRequestEntry::builder()
            .source(SOURCE)
            .detail_type(word("detail-type"))
            .detail(event["detail"].to_string())
            .set_resources(serde_json::from_value(event["resources"].clone()).ok())
            .build();
        let put = self.events.put_events().entries(entry).send().await.expect("PutEvents");
        assert_eq!(put.failed_entry_count(), 0, "{put:?}");
    }

    /// Sends a message to a queue.
    pub async fn send(&self, url: &str, body: &str) {
        self.sqs.send_message().queue_url(url).message_body(body).send().await.expect("SendMessage");
    }

    /// The environment of a daemon on the stage that uses this queue.
    pub fn variables(&self, stage: &Stage, instance: &str, queue: &Queue) -> Variables {
        let mut variables = stage.variables(instance);
        variables.insert("DRAINHOOK_QUEUE__URL", queue.url.clone());
        let region = self.config.region().expect("set");
        let own = format!("https://sqs.{region}.amazonaws.com");
        variables.insert("AWS_ENDPOINT_URL_SQS", self.config.endpoint_url().map_or(own, str::to_owned));
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
            variables.extend(std::env::var(name).ok().map(|value| (name, value)));
        }
        variables
    }

    /// The number of messages in the queue, including hidden ones. SQS says that the number is approximate.
    async fn messages(&self, queue: &Queue) -> u32 {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let asked = self.sqs.get_queue_attributes().queue_url(&queue.url);
        let asked = asked.set_attribute_names(Some(names.to_vec())).send().await.expect("GetQueueAttributes");
        let numbers = asked.attributes().expect("attributes");
        names.iter().map(|name| numbers[name].parse::<u32>().expect("a number")).sum()
    }

    /// Waits until the queue has this many messages.
    pub async fn until_messages(&self, queue: &Queue, count: u32) {
        in_time(&format!("{count} messages in the queue"), async {
            while self.messages(queue).await != count {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        })
        .await;
    }

    fn made(&self, made: Made) {
        self.made.lock().expect("no panics").push(made);
    }

    /// A failure is only logged, because the test may have removed the resource itself.
    async fn remove_all(&self) {
        let made = std::mem::take(&mut *self.made.lock().expect("no panics"));
        for made in made.into_iter().rev() {
            let failed = match &made {
                Made::Queue(url) => {
                    self.sqs.delete_queue().queue_url(url).send().await.err().map(|e| format!("{e:?}"))
                }
                Made::Topic(arn) => {
                    self.sns.delete_topic().topic_arn(arn).send().await.err().map(|e| format!("{e:?}"))
                }
                Made::Rule(name) => {
                    let targets = self.events.remove_targets().rule(name).ids("queue").send().await;
                    let rule = self.events.delete_rule().name(name).send().await;
                    targets.err().map(|e| format!("{e:?}")).or(rule.err().map(|e| format!("{e:?}")))
                }
            };
            if let Some(failed) = failed {
                eprintln!("could not remove a resource of {}: {failed}", self.group);
            }
        }
    }
}
