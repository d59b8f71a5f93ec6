"""The simulator's SQS through boto3."""

from uuid import uuid4

import pytest
from conftest import wait_for


@pytest.fixture
def queue_url(sqs):
    name, attributes = f"queue-{uuid4().hex[:8]}", {"VisibilityTimeout": "3600"}
    return sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]


def receive(sqs, queue_url, **more):
    answer = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=0, **more)
    return answer.get("Messages", [])


def bodies(messages):
    return sorted(message["Body"] for message in messages)


def test_receive_hides_and_visibility_timeout_0_returns(sqs, queue_url):
    # boto3 itself checks the MD5 digests of messages.
    sqs.send_message(QueueUrl=queue_url, MessageBody='{"a": "ä"}')
    (first,) = receive(sqs, queue_url, AttributeNames=["ApproximateReceiveCount"])
    assert first["Body"] == '{"a": "ä"}'
    assert first["Attributes"]["ApproximateReceiveCount"] == "1"
    assert receive(sqs, queue_url) == []
    sqs.change_message_visibility(QueueUrl=queue_url, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=0)
    (again,) = receive(sqs, queue_url, AttributeNames=["ApproximateReceiveCount"])
    assert again["MessageId"] == first["MessageId"]
    assert again["Attributes"]["ApproximateReceiveCount"] == "2"
    sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=again["ReceiptHandle"])
    attributes = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["All"])["Attributes"]
    assert attributes["ApproximateNumberOfMessages"] == "0"
    assert attributes["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_batches(sqs, queue_url):
    for number in range(4):
        sqs.send_message(QueueUrl=queue_url, MessageBody=f"body {number}")
    received = []
    wait_for(lambda: received.extend(receive(sqs, queue_url)) or len(received) == 4, "all four messages arrive")
    assert bodies(received) == [f"body {number}" for number in range(4)]

    shown = [
        {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
        for number, message in enumerate(received)
    ]
    answer = sqs.change_message_visibility_batch(QueueUrl=queue_url, Entries=shown)
    assert (len(answer["Successful"]), answer.get("Failed", [])) == (4, [])
    again = []
    wait_for(lambda: again.extend(receive(sqs, queue_url)) or len(again) == 4, "all four messages are received again")

    gone = [{"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]} for number, message in enumerate(again)]
    answer = sqs.delete_message_batch(QueueUrl=queue_url, Entries=gone)
    assert (len(answer["Successful"]), answer.get("Failed", [])) == (4, [])
    assert receive(sqs, queue_url) == []


def test_purge(sqs, queue_url):
    sqs.send_message(QueueUrl=queue_url, MessageBody="unwanted")
    sqs.purge_queue(QueueUrl=queue_url)

    def empty():
        attributes = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["ApproximateNumberOfMessages"])
        return attributes["Attributes"]["ApproximateNumberOfMessages"] == "0"

    wait_for(empty, "the queue is empty")


def test_change_visibility_of_a_visible_message(sqs, queue_url):
    """Changing the visibility of a message that is already visible again succeeds and has no effect."""
    sqs.send_message(QueueUrl=queue_url, MessageBody="x")
    (message,) = receive(sqs, queue_url, VisibilityTimeout=0)
    sqs.change_message_visibility(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=600)
    (again,) = receive(sqs, queue_url)
    assert again["MessageId"] == message["MessageId"]


def test_create_existing_queue(sqs):
    """CreateQueue compares only the given attributes with those of the existing queue."""
    name = f"queue-{uuid4().hex[:8]}"
    url = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "60"})["QueueUrl"]
    assert sqs.create_queue(QueueName=name)["QueueUrl"] == url
    assert sqs.create_queue(QueueName=name, Attributes={"MessageRetentionPeriod": "345600"})["QueueUrl"] == url
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"]
    assert attributes == {"VisibilityTimeout": "60"}
