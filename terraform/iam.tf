# The instances' permissions.
#
# IAM cannot bind a lifecycle action to one instance. The resource of CompleteLifecycleAction and
# RecordLifecycleActionHeartbeat is the group, and no condition key holds the instance that the call names. So an attacker with
# one instance's credentials can complete or prolong the actions of every instance in its group, and receive and delete the
# group's messages. The damage ends at the group if each group has its own role. Only a broker could be tighter: it would check
# the caller (sts:RoleSessionName is the instance id) and call Auto Scaling itself.

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
        # These actions have no resource-level permissions, so "*" is the least.
        Sid      = "ReadHooksAndStates"
        Effect   = "Allow"
        Action   = ["autoscaling:DescribeAutoScalingInstances", "autoscaling:DescribeLifecycleHooks"]
        Resource = "*"
      },
    ],
    var.protection == null ? [] : [{
      # As with lifecycle actions, IAM cannot bind this to one instance.
      Sid      = "ProtectFromScaleIn"
      Effect   = "Allow"
      Action   = ["autoscaling:SetInstanceProtection"]
      Resource = local.group_arn
    }],
    [for queue in aws_sqs_queue.this : {
      Sid      = "Messages"
      Effect   = "Allow"
      Action   = ["sqs:ReceiveMessage", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage"]
      Resource = queue.arn
    }],
    length(var.target_groups) > 0 ? [{
      Sid      = "LeaveTargetGroups"
      Effect   = "Allow"
      Action   = ["elasticloadbalancing:DeregisterTargets", "elasticloadbalancing:RegisterTargets"]
      Resource = distinct(var.target_groups[*].arn)
    }] : [],
    length(var.target_groups) > 0 ? [{
      # These actions have no resource-level permissions. Only `drainhook check` needs the last two.
      Sid    = "ReadTargetGroups"
      Effect = "Allow"
      Action = [
        "elasticloadbalancing:DescribeTargetHealth",
        "elasticloadbalancing:DescribeTargetGroupAttributes",
        "autoscaling:DescribeAutoScalingGroups",
      ]
      Resource = "*"
    }] : [],
    local.queued && var.kms_key_arn != null ? [{
      Sid       = "ReadEncryptedMessages"
      Effect    = "Allow"
      Action    = ["kms:Decrypt"]
      Resource  = var.kms_key_arn
      Condition = { StringEquals = { "kms:ViaService" = "sqs.${local.region}.${data.aws_partition.this.dns_suffix}" } }
    }] : [],
    var.instance_tags ? [{
      # An instance can tag only itself: the caller (ec2:SourceInstanceARN) must be the tagged instance (ec2:InstanceID, a key
      # of the resource). https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
      Sid      = "TagItself"
      Effect   = "Allow"
      Action   = ["ec2:CreateTags", "ec2:DeleteTags"]
      Resource = "${local.aws}:ec2:${local.region}:${local.account}:instance/*"
      Condition = {
        ArnEquals                   = { "ec2:SourceInstanceARN" = "${local.aws}:ec2:${local.region}:${local.account}:instance/$${ec2:InstanceID}" }
        Null                        = { "aws:TagKeys" = "false" } # DeleteTags without keys would delete all tags
        "ForAllValues:StringEquals" = { "aws:TagKeys" = ["drainhook:state", "drainhook:reason", "drainhook:in-flight", "drainhook:deadline"] }
      }
    }] : [],
    var.daemon_metrics ? [{
      # Metrics have no ARNs. Only the namespace can be restricted.
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
