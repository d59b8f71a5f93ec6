variable "group_name" {
  type        = string
  description = "The name of the Auto Scaling group. The group may exist already or be created in the same configuration."

  # AWS permits more characters, but they would be wildcards or variables in IAM's ARNs, or break the daemon's configuration.
  validation {
    condition     = can(regex("^[A-Za-z0-9 ._/()+=,@#-]{1,255}$", var.group_name))
    error_message = "The group_name must be 1 to 255 letters, digits, spaces or ._/()+=,@#-"
  }
}

variable "group_id" {
  type        = string
  description = "The `id` of the group, if the same configuration creates it with this module's `user_data`. The hooks wait for this id. Give `group_name` as text, so that the queue can be created before the group. Leave null if the group exists already."
  default     = null

  validation {
    condition     = var.group_id == null ? true : length(var.group_id) > 0
    error_message = "The group_id must not be empty; leave it out for a group that exists already."
  }
}

variable "hook_name" {
  type        = string
  description = "The name of the termination hook."
  default     = "drain"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_/-]{1,255}$", var.hook_name))
    error_message = "The hook_name must be 1 to 255 letters, digits or -_/"
  }
}

variable "heartbeat_timeout" {
  type        = number
  description = "How many seconds the termination hook waits for a heartbeat before it times out (30–7200). Heartbeats can keep an action alive for a hundred times that, but for at most 48 hours."
  default     = 300
  nullable    = false

  validation {
    condition     = var.heartbeat_timeout >= 30 && var.heartbeat_timeout <= 7200 && floor(var.heartbeat_timeout) == var.heartbeat_timeout
    error_message = "The heartbeat_timeout is ${var.heartbeat_timeout}; it must be a whole number of seconds from 30 to 7200."
  }
}

variable "default_result" {
  type        = string
  description = "The result of an action that times out: `CONTINUE` or `ABANDON`. `ABANDON` skips other hooks, and retains the instance if the group's instance lifecycle policy asks for that."
  default     = "CONTINUE"
  nullable    = false

  validation {
    condition     = contains(["CONTINUE", "ABANDON"], var.default_result)
    error_message = "The default_result must be CONTINUE or ABANDON."
  }
}

variable "notification_metadata" {
  type        = string
  description = "Text that the hook adds to each of its messages. Empty adds none. You can change the text later but not remove it: AWS keeps the old text if a hook no longer sets one."
  default     = ""
  nullable    = false

  validation {
    condition     = length(var.notification_metadata) <= 1023
    error_message = "The notification_metadata has ${length(var.notification_metadata)} characters; at most 1023 are allowed."
  }
}

variable "launch_hook" {
  type = object({
    name              = optional(string, "ready")
    heartbeat_timeout = optional(number, 300)
    default_result    = optional(string, "ABANDON")
    times             = optional(number)
    timeout           = optional(string)
  })
  description = "A launch hook, which holds each new instance until its agent is ready (`agent.ready`). drainhook then completes the launch action. `times` and `timeout` are `launch.times` and `launch.timeout` in the daemon's configuration. Null creates no launch hook."
  default     = null

  validation {
    condition     = var.launch_hook == null ? true : can(regex("^[A-Za-z0-9_/-]{1,255}$", var.launch_hook.name))
    error_message = "The name of launch_hook must be 1 to 255 letters, digits or -_/"
  }

  validation {
    condition     = var.launch_hook == null ? true : var.launch_hook.heartbeat_timeout >= 30 && var.launch_hook.heartbeat_timeout <= 7200
    error_message = "The heartbeat_timeout of launch_hook is ${try(var.launch_hook.heartbeat_timeout, 0)}; it must be 30 to 7200 seconds."
  }

  validation {
    condition     = var.launch_hook == null ? true : contains(["CONTINUE", "ABANDON"], var.launch_hook.default_result)
    error_message = "The default_result of launch_hook must be CONTINUE or ABANDON."
  }

  validation {
    condition     = try(var.launch_hook.times, null) == null ? true : var.launch_hook.times >= 1 && var.launch_hook.times <= 60 && floor(var.launch_hook.times) == var.launch_hook.times
    error_message = "The times of launch_hook must be a whole number from 1 to 60."
  }

  validation {
    condition     = try(var.launch_hook.timeout, null) == null ? true : can(regex("^([0-9]+(s|m|h))+$", var.launch_hook.timeout))
    error_message = "The timeout of launch_hook must be a duration, such as 15m."
  }
}

variable "protection" {
  type = object({
    when_busy = optional(bool, true)
    busy_for  = optional(string)
    idle_for  = optional(string)
    longest   = optional(string)
  })
  description = "Busy protection: the daemon protects an instance from scale-in while its agents have work, and may call autoscaling:SetInstanceProtection for the group's instances. The keys are those of the section `protection`, such as `{ longest = \"4h\" }`. To switch it off, first set `{ when_busy = false }`, so that the daemons can lift their protections, and set null once no instance is protected."
  default     = null

  validation {
    condition     = alltrue([for key, value in coalesce(var.protection, {}) : key == "when_busy" || value == null ? true : can(regex("^([0-9]+(s|m|h))+$", value))])
    error_message = "The busy_for, idle_for and longest of protection must be durations, such as 5m."
  }
}

variable "target_groups" {
  type = list(object({
    arn     = string
    target  = optional(string)
    port    = optional(number)
    timeout = optional(string)
  }))
  description = "Target groups that the group does not manage (`target_group` in the daemon's configuration). The daemon deregisters the instance from them when the agents are told to drain. Do not name target groups that are attached to the group: Auto Scaling drains those."
  default     = []
  nullable    = false

  validation {
    condition     = length(var.target_groups) <= 16
    error_message = "There are ${length(var.target_groups)} target_groups; at most 16 are possible."
  }

  validation {
    condition     = length(distinct([for group in var.target_groups : [group.arn, group.target, group.port]])) == length(var.target_groups)
    error_message = "Two of target_groups have the same arn, target and port; remove one of them."
  }

  validation {
    condition     = alltrue([for group in var.target_groups : group.target == null ? true : can(cidrhost("${group.target}/${strcontains(group.target, ":") ? 128 : 32}", 0))])
    error_message = "The target of each of target_groups must be an IP address. Without it, the instance itself is the target."
  }

  validation {
    condition     = alltrue([for group in var.target_groups : can(regex("^arn:[a-z-]+:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:targetgroup/[A-Za-z0-9-]+/[a-z0-9]+$", group.arn))])
    error_message = "The arn of each of target_groups must be the ARN of a target group."
  }

  validation {
    condition     = alltrue([for group in var.target_groups : group.port == null ? true : group.port >= 1 && group.port <= 65535 && floor(group.port) == group.port])
    error_message = "The port of each of target_groups must be a whole number from 1 to 65535."
  }

  validation {
    condition     = alltrue([for group in var.target_groups : group.timeout == null ? true : can(regex("^([0-9]+(s|m|h))+$", group.timeout))])
    error_message = "The timeout of each of target_groups must be a duration, such as 10m."
  }
}

variable "drain_timeout" {
  type        = number
  description = "How many seconds a drain may take (`agent.drain_timeout` in the daemon's configuration). It must be shorter than heartbeats can keep the action alive."
  default     = 3600
  nullable    = false

  validation {
    condition     = var.drain_timeout >= 1 && var.drain_timeout < 172800 && floor(var.drain_timeout) == var.drain_timeout
    error_message = "The drain_timeout is ${var.drain_timeout}; it must be a whole number of seconds from 1 to 172799, because no action can be kept alive for longer than 48 hours (172800 s)."
  }
}

variable "drain_at" {
  type        = string
  description = "When draining starts: `notice` is at the first notice, `wait` is when the load balancer has finished with the instance."
  default     = "notice"
  nullable    = false

  validation {
    condition     = contains(["notice", "wait"], var.drain_at)
    error_message = "The drain_at must be notice or wait."
  }
}

variable "agent" {
  type = object({
    preset            = optional(string)
    url               = optional(string)
    unix              = optional(string)
    user              = optional(string)
    command           = optional(list(string))
    unit              = optional(string)
    name              = optional(string)
    unreachable_grace = optional(string)
    order             = optional(number)
    on_exit           = optional(string)
    poll              = optional(string)
    drain = optional(object({
      path    = optional(string)
      method  = optional(string)
      blocks  = optional(bool)
      body    = optional(string)
      success = optional(list(number))
      signal  = optional(string)
      start   = optional(string)
    }), {})
    status = optional(object({
      path      = optional(string)
      url       = optional(string)
      pointer   = optional(string)
      metric    = optional(string)
      labels    = optional(map(string))
      processes = optional(string)
      command   = optional(list(string))
      zero_for  = optional(string)
    }), {})
    force = optional(object({
      before  = optional(string)
      signal  = optional(string)
      command = optional(list(string))
      path    = optional(string)
      method  = optional(string)
      body    = optional(string)
      success = optional(list(number))
    }), {})
    ready = optional(object({
      path    = optional(string)
      command = optional(list(string))
    }), {})
    return = optional(object({
      command = optional(list(string))
      method  = optional(string)
      path    = optional(string)
      body    = optional(string)
      success = optional(list(number))
    }), {})
    headers    = optional(any, {})
    token_file = optional(string)
    allow_host = optional(string)
  })
  description = "The agent's settings in the daemon's configuration, except `drain_timeout`. A key that you leave out has the daemon's default."
  default     = {}
  nullable    = false

  # A daemon with a bad configuration does not start, so instances would not be drained. Fail at plan time instead.
  validation {
    condition     = length([for kind in [var.agent.url, var.agent.unix, var.agent.unit, var.agent.command] : true if kind != null]) <= 1
    error_message = "The agent must have only one of url, unix, unit and command."
  }

  validation {
    condition     = alltrue([for command in [var.agent.command, var.agent.return.command, var.agent.status.command, var.agent.force.command, var.agent.ready.command] : command == null ? true : can(regex("^/", command[0]))])
    error_message = "The command, return.command, status.command, force.command and ready.command of agent must begin with the absolute path of a program."
  }

  validation {
    condition     = var.agent.preset == null ? true : can(regex("^[a-z0-9-]+$", var.agent.preset))
    error_message = "The preset of agent must be a name that drainhook presets lists."
  }

  # tests/tidy.rs compares these lists with the presets.
  validation {
    condition = var.agent.preset == null ? true : alltrue([
      for kind, presets in {
        command = ["docker-container", "ecs-instance", "github-runner", "jenkins-agent", "kubernetes-node", "lifecycled-handler", "nomad-client"]
        unit    = ["arq", "buildkite-agent", "bullmq", "celery", "concourse-worker", "dask-worker", "dramatiq", "gitlab-runner", "gunicorn", "haproxy", "huey", "laravel-horizon", "livekit", "nginx", "pgbouncer", "php-fpm", "puma", "ray-node", "rq", "sidekiq", "temporal-worker", "triton", "uvicorn", "vllm"]
        url     = ["envoy", "jitsi-videobridge", "selenium-node", "trino-worker"]
      } :
      !contains(presets, var.agent.preset) || alltrue([
        for key, value in { url = var.agent.url, unix = var.agent.unix, unit = var.agent.unit, command = var.agent.command } :
        value == null || key == kind || (kind == "url" && key == "unix")
      ])
    ])
    error_message = "The preset of agent is for an agent of another kind (url or unix, unit, command); drainhook presets NAME says which."
  }

  validation {
    condition     = var.agent.command != null || var.agent.preset != null || var.agent.return.command == null
    error_message = "The return.command of agent needs command or a preset."
  }

  validation {
    condition = (var.agent.command == null && var.agent.unit == null) || alltrue([
      for value in [
        var.agent.on_exit, var.agent.drain.path, var.agent.drain.method, var.agent.drain.blocks,
        var.agent.drain.body, var.agent.drain.success, var.agent.return.method, var.agent.return.path, var.agent.return.body,
        var.agent.return.success, try(keys(var.agent.headers)[0], null),
        var.agent.force.path, var.agent.ready.path, var.agent.status.path, var.agent.token_file, var.agent.allow_host,
      ] : value == null
    ])
    error_message = "The on_exit, ready.path, status.path, headers, token_file and allow_host of agent, and the keys of drain, return and force for requests, mean nothing with command or unit."
  }

  validation {
    condition     = length([for reading in [var.agent.status.pointer, var.agent.status.metric, var.agent.status.processes, var.agent.status.command] : true if reading != null]) <= 1
    error_message = "The status of agent must have only one of pointer, metric, processes and command."
  }

  validation {
    condition     = var.agent.status.labels == null || var.agent.status.metric != null
    error_message = "The status.labels of agent needs status.metric."
  }

  validation {
    condition     = var.agent.status.zero_for == null || length([for reading in [var.agent.status.pointer, var.agent.status.metric, var.agent.status.processes, var.agent.status.command] : true if reading != null]) > 0
    error_message = "The status.zero_for of agent needs status.pointer, metric, processes or command."
  }

  validation {
    condition     = (var.agent.command == null && var.agent.drain.start == null) || var.agent.status.zero_for != null || alltrue([for reading in [var.agent.status.pointer, var.agent.status.metric, var.agent.status.processes, var.agent.status.command] : reading == null])
    error_message = "The status.pointer, metric, processes and command of agent need status.zero_for if command or drain.start is set."
  }

  validation {
    condition     = var.agent.command == null || var.agent.poll == null
    error_message = "The poll of agent means nothing with command."
  }

  validation {
    condition     = alltrue([for unit in [var.agent.unit, var.agent.drain.start] : unit == null ? true : can(regex("^[A-Za-z0-9:_.\\\\@-]+\\.service$", unit))])
    error_message = "The unit and drain.start of agent must be names of units that end in .service."
  }

  validation {
    condition     = var.agent.unit != null || var.agent.preset != null || (var.agent.drain.signal == null && var.agent.drain.start == null)
    error_message = "The drain.signal and drain.start of agent need unit or a preset."
  }

  validation {
    condition     = var.agent.drain.signal == null || var.agent.drain.start == null
    error_message = "The agent must have only one of drain.signal and drain.start."
  }

  validation {
    condition     = alltrue([for signal in [var.agent.drain.signal, var.agent.force.signal] : signal == null ? true : can(regex("^SIG[A-Z0-9]+$", signal))])
    error_message = "The drain.signal and force.signal of agent must be names of signals, such as SIGQUIT."
  }

  validation {
    condition     = var.agent.ready.path == null || var.agent.ready.command == null
    error_message = "The ready of agent must have only one of path and command."
  }

  validation {
    condition     = length([for step in [var.agent.force.signal, var.agent.force.command, var.agent.force.path] : true if step != null]) <= 1
    error_message = "The force of agent must have only one of signal, command and path."
  }

  validation {
    condition     = var.agent.unit != null || var.agent.preset != null || var.agent.force.signal == null
    error_message = "The force.signal of agent needs unit or a preset."
  }

  validation {
    condition     = var.agent.force.path != null || var.agent.preset != null || alltrue([for value in [var.agent.force.method, var.agent.force.body, var.agent.force.success] : value == null])
    error_message = "The force.method, body and success of agent need force.path or a preset."
  }

  validation {
    condition     = var.agent.unix != null || var.agent.user == null
    error_message = "The user of agent needs unix."
  }

  validation {
    condition     = var.agent.unix == null || var.agent.allow_host == null
    error_message = "The allow_host of agent means nothing with unix."
  }

  validation {
    condition     = alltrue([for url in [var.agent.url, var.agent.status.url] : url == null ? true : can(regex("^http://[^[:space:]]+$", url))])
    error_message = "The url and status.url of agent must begin with http://"
  }

  validation {
    condition     = alltrue([for path in [var.agent.unix, var.agent.drain.path, var.agent.return.path, var.agent.force.path, var.agent.ready.path, var.agent.status.path, var.agent.status.pointer, var.agent.token_file] : path == null ? true : can(regex("^/[^[:space:]]*$", path))])
    error_message = "The unix, drain.path, return.path, force.path, ready.path, status.path, status.pointer and token_file of agent must begin with / and have no spaces."
  }

  validation {
    condition     = alltrue([for duration in [var.agent.unreachable_grace, var.agent.poll, var.agent.status.zero_for, var.agent.force.before] : duration == null ? true : can(regex("^([0-9]+(ms|s|m|h))+$", duration))])
    error_message = "The unreachable_grace, poll, status.zero_for and force.before of agent must be durations, such as 90s."
  }

  validation {
    condition     = var.agent.order == null ? true : contains(range(1, 17), var.agent.order)
    error_message = "The order of agent must be a whole number from 1 to 16."
  }

  validation {
    condition     = var.agent.on_exit == null ? true : contains(["failed", "drained"], var.agent.on_exit)
    error_message = "The on_exit of agent must be failed or drained."
  }

  validation {
    condition     = alltrue([for method in [var.agent.drain.method, var.agent.return.method, var.agent.force.method] : method == null ? true : contains(["POST", "PUT", "PATCH", "GET", "DELETE"], method)])
    error_message = "The drain.method, return.method and force.method of agent must be POST, PUT, PATCH, GET or DELETE."
  }

  validation {
    condition     = alltrue([for success in [var.agent.drain.success, var.agent.return.success, var.agent.force.success] : success == null ? true : length(success) > 0 && alltrue([for code in success : code >= 300 && code < 600 && floor(code) == code])])
    error_message = "The drain.success, return.success and force.success of agent must be lists of status codes from 300 to 599."
  }

  validation {
    condition     = alltrue([for body in [var.agent.drain.body, var.agent.return.body, var.agent.force.body] : body == null ? true : length(body) <= 4096])
    error_message = "The drain.body, return.body and force.body of agent may be at most 4096 characters long."
  }

  validation {
    condition = alltrue(concat(
      [for names in regexall("{([A-Za-z_-]+)}", "${coalesce(var.agent.drain.body, " ")}${coalesce(var.agent.force.body, " ")}") : contains(["reason", "deadline", "instance_id"], names[0])],
      [for names in regexall("{([A-Za-z_-]+)}", coalesce(var.agent.return.body, " ")) : names[0] == "instance_id"],
    ))
    error_message = "The drain.body and force.body of agent can use {reason}, {deadline} and {instance_id}, and return.body only {instance_id}."
  }

  validation {
    condition = can(keys(var.agent.headers)) && alltrue([
      for name, value in var.agent.headers :
      can(regex("^[A-Za-z0-9_-]+$", name)) && can(regex("^([!-~]([ -~]*[!-~])?)?$", tostring(try(value.file, value))))
    ])
    error_message = "The headers of agent must have names of letters, digits, - and _. Their values must be text in ASCII, or { file = \"/path\" }."
  }

  validation {
    condition = length(setintersection([for name in try(keys(var.agent.headers), []) : lower(name)], [
      "connection", "content-length", "expect", "host", "keep-alive", "prefer", "proxy-authenticate", "proxy-authorization",
      "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    ])) == 0
    error_message = "The headers of agent must not name a header that drainhook sets itself, such as Host."
  }
}

variable "after" {
  type = list(object({
    command = list(string)
    timeout = optional(string)
  }))
  description = "The after steps in the daemon's configuration: commands that run once all agents are done, before the action is completed. At most 8."
  default     = []
  nullable    = false

  validation {
    condition     = length(var.after) <= 8
    error_message = "There are ${length(var.after)} steps in after; at most 8 are possible."
  }

  validation {
    condition     = alltrue([for step in var.after : can(regex("^/", step.command[0]))])
    error_message = "The command of each step in after must begin with the absolute path of a program."
  }

  validation {
    condition     = alltrue([for step in var.after : step.timeout == null ? true : can(regex("^([0-9]+(ms|s|m|h))+$", step.timeout))])
    error_message = "The timeout of each step in after must be a duration, such as 30s."
  }
}

variable "wiring" {
  type        = string
  description = "How the hook's messages reach the queue: `eventbridge` (a rule), `direct` (the hook itself) or `sns` (a topic). With `none` there is no queue, and the daemon detects Wait by probing with heartbeats."
  default     = "eventbridge"
  nullable    = false

  validation {
    condition     = contains(["eventbridge", "direct", "sns", "none"], var.wiring)
    error_message = "The wiring must be eventbridge, direct, sns or none."
  }
}

variable "spot_events" {
  type        = bool
  description = "Whether the queue also gets spot interruption warnings. They name no group, so the queue gets every warning of the account in this Region. Only daemons that cannot reach IMDS need them."
  default     = false
  nullable    = false
}

variable "rebalance_events" {
  type        = bool
  description = "Whether the queue also gets rebalance recommendations. They name no group, so the queue gets every recommendation of the account in this Region. The daemons then drain at a recommendation (`lifecycle.on_rebalance = \"drain\"`). Use it for groups with Capacity Rebalancing."
  default     = false
  nullable    = false
}

variable "capacity_events" {
  type        = bool
  description = "Whether the queue also gets the warnings before reserved capacity is reclaimed, and the daemons listen to it all the time (`queue.listen = \"always\"`). Use it for groups in an interruptible capacity reservation or in a Capacity Block. The warnings name no group, so the queue gets every warning of the account in this Region."
  default     = false
  nullable    = false
}

variable "capacity_reservation_id" {
  type        = string
  description = "The id of the Capacity Block that the group's launch template names. The queue then gets the warning before the block ends. Needs `capacity_events`."
  default     = null

  validation {
    condition     = var.capacity_reservation_id == null || can(regex("^cr-[0-9a-f]{8,17}$", var.capacity_reservation_id))
    error_message = "The capacity_reservation_id must be the id of a capacity reservation, such as cr-0123456789abcdef0."
  }
}

variable "on_standby" {
  type        = string
  description = "What the daemons do while their instance is in standby: `drain`, or `ignore`."
  default     = "ignore"
  nullable    = false

  validation {
    condition     = contains(["drain", "ignore"], var.on_standby)
    error_message = "The on_standby must be drain or ignore."
  }
}

variable "on_detachment" {
  type        = string
  description = "What the daemons do while their instance is detached from its group: `drain`, or `ignore`."
  default     = "ignore"
  nullable    = false

  validation {
    condition     = contains(["drain", "ignore"], var.on_detachment)
    error_message = "The on_detachment must be drain or ignore."
  }
}

variable "kms_key_arn" {
  type        = string
  description = "The ARN of the KMS key that encrypts the queue. Null uses SQS's own keys. The key's policy must let `events.amazonaws.com` (or `sns.amazonaws.com`) call `kms:GenerateDataKey` and `kms:Decrypt`, or no messages arrive."
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.kms_key_arn))
    error_message = "The kms_key_arn must be the ARN of a key, such as arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab. An alias does not work, because a policy must name the key."
  }
}

variable "role_name" {
  type        = string
  description = "The name of the instances' role. The module attaches the policy to it. If it is null, attach the output `policy_json` yourself."
  default     = null

  validation {
    condition     = var.role_name == null || can(regex("^[A-Za-z0-9+=,.@_-]{1,64}$", var.role_name))
    error_message = "The role_name must be the name of a role, not its ARN."
  }
}

variable "instance_tags" {
  type        = bool
  description = "Whether an instance may write the tags `drainhook:…` on itself. No released daemon writes them yet."
  default     = false
  nullable    = false
}

variable "daemon_metrics" {
  type        = bool
  description = "Whether the daemons publish CloudWatch metrics in the namespace `drainhook`. Adds the permission, alarms and graphs. No released daemon publishes them yet."
  default     = false
  nullable    = false
}

variable "completion_alarm" {
  type        = bool
  description = "Whether to compare terminations with completions, for an alarm on actions that time out. Needs a CloudTrail trail that records management events in this Region."
  default     = false
  nullable    = false
}

variable "terminating_alarm_minutes" {
  type        = number
  description = "How many minutes instances may be terminating before the alarm. Null means `drain_timeout` plus ten minutes. Behind a load balancer, add its deregistration delay, because an instance is terminating during that time."
  default     = null

  validation {
    condition     = var.terminating_alarm_minutes == null ? true : var.terminating_alarm_minutes >= 1 && var.terminating_alarm_minutes <= 10080 && floor(var.terminating_alarm_minutes) == var.terminating_alarm_minutes
    error_message = "The terminating_alarm_minutes is ${coalesce(var.terminating_alarm_minutes, 0)}; it must be a whole number from 1 to 10080 (a week, the longest that CloudWatch evaluates)."
  }
}

variable "alarm_actions" {
  type        = list(string)
  description = "The ARNs of the alarms' actions, such as an SNS topic."
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for action in var.alarm_actions : can(regex("^arn:", action))])
    error_message = "Each of alarm_actions must be an ARN."
  }
}

variable "runbook_url" {
  type        = string
  description = "The URL of docs/runbook.md. Each alarm's description links to its section there."
  default     = "docs/runbook.md"
  nullable    = false

  validation {
    condition     = can(regex("^[^\\s#]{1,500}$", var.runbook_url))
    error_message = "The runbook_url must have 1 to 500 characters, without spaces and #."
  }
}

variable "dashboard" {
  type        = bool
  description = "Whether to create a CloudWatch dashboard."
  default     = true
  nullable    = false
}

variable "tags" {
  type        = map(string)
  description = "Tags for every resource that can have them."
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for key in keys(var.tags) : can(regex("^.{1,128}$", key)) && !can(regex("^(?i:aws:)", key))])
    error_message = "The keys of tags must have 1 to 128 characters and not begin with aws:, which AWS reserves."
  }
}
