//! Serves the AWS endpoints of a Region on one port.

use std::sync::Arc;

use hyper::Method;
use serde_json::{Value, json};

use sim::world::ApiError;

use super::http::{Answer, Request};
use super::query::{Params, unknown_action};
use super::service::Shared;
use super::{autoscaling, elb, sqs, xml};

const STS_VERSION: &str = "2011-06-15";
const STS_CALLS: &[&str] = &["GetCallerIdentity"];
const STS_NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
const XML: &str = "text/xml";

pub(super) async fn answer(shared: Arc<Shared>, request: Request) -> Answer {
    if let Some(target) = request.header("x-amz-target") {
        let target = target.to_owned();
        return sqs::answer(&shared, &target, &request).await;
    }
    if request.method == Method::GET && request.path == "/_sim/instances" {
        return instances(&shared);
    }
    let form = if request.body.is_empty() { request.query.as_bytes() } else { &request.body };
    let params = Params::parse(form);
    let id = request_id();
    let result = if let Err(expired) = check_credentials(&shared, &request) {
        Err(expired)
    } else if params.optional("Version") == Some(STS_VERSION) {
        caller_identity(&shared, &request, &params, &id)
    } else if params.optional("Version") == Some(sqs::VERSION) {
        Err(sqs::query_protocol())
    } else if params.optional("Version") == Some(elb::VERSION) {
        permit(&shared, &request, &params, "elasticloadbalancing")
            .and_then(|()| elb::call(&shared, &params))
            .map(|result| autoscaling::envelope(elb::NAMESPACE, &params, &Some(result), &id))
    } else {
        permit(&shared, &request, &params, "autoscaling")
            .and_then(|()| autoscaling::call(&shared, &params))
            .map(|result| autoscaling::envelope(autoscaling::NAMESPACE, &params, &result, &id))
    };
    let answer = match result {
        Ok(body) => Answer::new(200, XML, body),
        Err(error) if params.optional("Version") == Some(elb::VERSION) => {
            query_error(&error, elb::NAMESPACE, &id)
        }
        Err(error) => query_error(&error, autoscaling::NAMESPACE, &id),
    };
    answer.header("x-amzn-requestid", id)
}

/// Refuses a call whose action is denied. Describe calls have no resource.
fn permit(shared: &Shared, request: &Request, params: &Params, service: &str) -> Result<(), ApiError> {
    let call = params.optional("Action").unwrap_or_default();
    let action = format!("{service}:{call}");
    if !denied(shared, &action) {
        return Ok(());
    }
    let group = params.optional("AutoScalingGroupName").filter(|_| !action.contains(":Describe"));
    let targets = params.owned("TargetGroupArn").filter(|_| !action.contains(":Describe"));
    let arn = group.map(|group| {
        let (region, account) =
            shared.with(|world, _| (world.config().region.clone(), world.config().account.clone()));
        format!("arn:aws:autoscaling:{region}:{account}:autoScalingGroup:*:autoScalingGroupName/{group}")
    });
    let arn = arn.or(targets);
    let caller = caller_arn(shared, caller(shared, request).as_deref());
    let error = ApiError::access_denied(403, "AccessDenied", &caller, &action, arn.as_deref());
    shared.with(|world, now| world.refused(now, call, params.optional("InstanceId"), &error.message));
    Err(error)
}

/// The IAM actions that can be denied. A batch call needs the permission of the single call.
pub fn permissions() -> Vec<String> {
    let autoscaling = autoscaling::CALLS.iter().map(|(call, _)| format!("autoscaling:{call}"));
    let elb = elb::CALLS.iter().map(|(call, _)| format!("elasticloadbalancing:{call}"));
    let sqs = sqs::CALLS.iter().filter(|(call, _)| !call.ends_with("Batch"));
    autoscaling.chain(elb).chain(sqs.map(|(call, _)| format!("sqs:{call}"))).collect()
}

/// Whether an IAM action is denied, to all callers.
pub(super) fn denied(shared: &Shared, action: &str) -> bool {
    shared.with(|world, _| world.config().denied.iter().any(|denied| denied == action))
}

/// The ARN of an instance's role, or of a user if the caller is not an instance.
pub(super) fn caller_arn(shared: &Shared, instance: Option<&str>) -> String {
    let account = shared.with(|world, _| world.config().account.clone());
    match instance {
        Some(instance) => format!("arn:aws:sts::{account}:assumed-role/drainhook-simulated/{instance}"),
        None => format!("arn:aws:iam::{account}:user/simulated"),
    }
}

/// An error in the shape of the Query protocol.
fn query_error(error: &ApiError, namespace: &str, id: &str) -> Answer {
    let fault = if error.status < 500 { "Sender" } else { "Receiver" };
    let inner = xml::node(
        "Error",
        [xml::leaf("Type", fault), xml::leaf("Code", error.code), xml::leaf("Message", &error.message)],
    );
    let id = xml::leaf("RequestId", id);
    Answer::new(
        error.status,
        XML,
        format!("<ErrorResponse xmlns=\"{namespace}\">{inner}{id}</ErrorResponse>\n"),
    )
}

/// STS GetCallerIdentity.
fn caller_identity(
    shared: &Shared,
    request: &Request,
    params: &Params,
    id: &str,
) -> Result<String, ApiError> {
    let action = params.required("Action")?;
    if !STS_CALLS.contains(&action) {
        return Err(unknown_action(action, STS_VERSION, STS_CALLS.iter().copied()));
    }
    let instance = caller(shared, request);
    let account = shared.with(|world, _| world.config().account.clone());
    let arn = caller_arn(shared, instance.as_deref());
    let user =
        instance.map_or("AIDASIMULATEDUSER0000".to_owned(), |id| format!("AROASIMULATEDROLE0000:{id}"));
    let result = xml::node(
        "GetCallerIdentityResult",
        [xml::leaf("Arn", arn), xml::leaf("UserId", user), xml::leaf("Account", account)],
    );
    let metadata = xml::node("ResponseMetadata", [xml::leaf("RequestId", id)]);
    Ok(format!(
        "<GetCallerIdentityResponse xmlns=\"{STS_NAMESPACE}\">{result}{metadata}</GetCallerIdentityResponse>\n"
    ))
}

/// The access key that a request was signed with. Signatures are not verified.
fn access_key(request: &Request) -> Option<&str> {
    let (_, credential) = request.header("authorization")?.split_once("Credential=")?;
    credential.split('/').next()
}

/// The instance that signed a request, if the credentials came from the simulated metadata service.
pub(super) fn caller(shared: &Shared, request: &Request) -> Option<String> {
    let access_key = access_key(request)?;
    shared.with(|world, _| world.instance_of_access_key(access_key).map(str::to_owned))
}

/// Refuses a request that was signed with expired credentials.
pub(super) fn check_credentials(shared: &Shared, request: &Request) -> Result<(), ApiError> {
    let Some(access_key) = access_key(request) else { return Ok(()) };
    shared.with(|world, now| world.check_access_key(now, access_key))
}

pub(super) fn request_id() -> String {
    let hex = format!("{:032x}", fastrand::u128(..));
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

/// `GET /_sim/instances`: the only request here that AWS does not have.
fn instances(shared: &Shared) -> Answer {
    let views = shared.with(|world, _| world.instances());
    let endpoints = shared.endpoints();
    let instances: Vec<_> = views
        .iter()
        .map(|view| {
            let at = endpoints.get(&view.id);
            json!({
                "id": view.id,
                "group": view.group,
                "state": view.state.as_str(),
                "imds": at.map(|at| &at.imds),
                "agent": at.map(|at| &at.agent),
                "in_flight": view.agent.in_flight,
            })
        })
        .collect();
    Answer::new(200, "application/json", format!("{:#}\n", Value::Array(instances)))
}
