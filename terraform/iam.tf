# What an instance may do.
#
# IAM cannot bind a lifecycle action to one instance: CompleteLifecycleAction and RecordLifecycleActionHeartbeat know the
# group as their resource, and no condition key has the instance that is named in the call. So an attacker who gets one
# instance's credentials can complete or prolong the actions of every instance of its group, and receive and delete the
# group's messages. It ends at the group: give each group a role of its own. Tighter than that is only a broker that checks
# who asks (sts:RoleSessionName is the instance's id) and calls Auto Scaling itself.

locals {
  statements = concat(
    [
      {
        Sid      = "LifecycleActions"
        Effect   = "Allow"
        Action   = ["autoscaling:CompleteLifecycleAction", "autoscaling:RecordLifecycleActionHeartbeat"]
        Resource = local.group_arn
      },
      {
        # These know no resources: "*" is the least.
        Sid      = "ReadHooksAndStates"
        Effect   = "Allow"
        Action   = ["autoscaling:DescribeAutoScalingInstances", "autoscaling:DescribeLifecycleHooks"]
        Resource = "*"
      },
    ],
    [for queue in aws_sqs_queue.this : {
      Sid      = "Messages"
      Effect   = "Allow"
      Action   = ["sqs:ReceiveMessage", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage"]
      Resource = queue.arn
    }],
    local.queued && var.kms_key_arn != null ? [{
      Sid       = "ReadEncryptedMessages"
      Effect    = "Allow"
      Action    = ["kms:Decrypt"]
      Resource  = var.kms_key_arn
      Condition = { StringEquals = { "kms:ViaService" = "sqs.${local.region}.${data.aws_partition.this.dns_suffix}" } }
    }] : [],
    var.instance_tags ? [{
      # On itself only: the instance that asks (ec2:SourceInstanceARN) is the one that is tagged (ec2:InstanceID, a key of
      # the resource): https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
      Sid      = "TagItself"
      Effect   = "Allow"
      Action   = ["ec2:CreateTags", "ec2:DeleteTags"]
      Resource = "${local.aws}:ec2:${local.region}:${local.account}:instance/*"
      Condition = {
        ArnEquals                   = { "ec2:SourceInstanceARN" = "${local.aws}:ec2:${local.region}:${local.account}:instance/$${ec2:InstanceID}" }
        Null                        = { "aws:TagKeys" = "false" } # DeleteTags without keys deletes all tags
        "ForAllValues:StringEquals" = { "aws:TagKeys" = ["drainhook:state", "drainhook:reason", "drainhook:in-flight", "drainhook:deadline"] }
      }
    }] : [],
    var.daemon_metrics ? [{
      # Metrics are no resources; the namespace is what can be bound.
      Sid       = "PublishMetrics"
      Effect    = "Allow"
      Action    = ["cloudwatch:PutMetricData"]
      Resource  = "*"
      Condition = { StringEquals = { "cloudwatch:namespace" = "drainhook" } }
    }] : [],
  )

  policy = jsonencode({ Version = "2012-10-17", Statement = local.statements })
}

resource "aws_iam_policy" "this" {
  count = var.role_name == null ? 0 : 1

  name        = "${local.name}-drainhook-${local.region}"
  description = "What drainhook does on the instances of the Auto Scaling group ${var.group_name}."
  policy      = local.policy
  tags        = var.tags
}

resource "aws_iam_role_policy_attachment" "this" {
  count = length(aws_iam_policy.this)

  role       = var.role_name
  policy_arn = aws_iam_policy.this[0].arn
}
