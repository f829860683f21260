"""What kafka-python does with one broker. Prints what it saw as one JSON object."""

import json
import sys

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

SERVERS = sys.argv[1]
FIRST = TopicPartition("python", 0)


def produce(codec):
    producer = KafkaProducer(bootstrap_servers=SERVERS, acks="all", compression_type=codec)
    for number in range(100):
        value = f"{codec}-{number}".encode()
        producer.send("python", value, key=b"key", headers=[("n", b"%d" % number)], partition=0)
    producer.flush()
    # How it takes the answers to its probes: the newest broker it knows that has all of these.
    probed = producer.config["api_version"]
    producer.close()
    return probed


def consume(count):
    """Reads on where the group committed, and commits."""
    consumer = KafkaConsumer(
        "python",
        bootstrap_servers=SERVERS,
        group_id="python",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        consumer_timeout_ms=20_000,
    )
    lines = []
    for record in consumer:
        header = record.headers[0][1].decode()
        lines.append(f"{record.offset} {record.key.decode()}:{record.value.decode()} n={header}")
        if len(lines) == count:
            consumer.seek(FIRST, record.offset + 1)
            consumer.commit()
            break
    end = consumer.end_offsets([FIRST])[FIRST]
    by_time = consumer.offsets_for_times({FIRST: 1_000})[FIRST].offset
    beginning = consumer.beginning_offsets([FIRST])[FIRST]
    consumer.close()
    return lines, [beginning, by_time, end]


admin = KafkaAdminClient(bootstrap_servers=SERVERS)
admin.create_topics([NewTopic("python", num_partitions=2, replication_factor=1)])
probed = [produce(None), produce("gzip")][0]
before, _ = consume(150)
after, offsets = consume(50)
committed = admin.list_consumer_group_offsets("python")
groups = admin.list_consumer_groups()
topics = admin.list_topics()
admin.delete_topics(["python"])
left = admin.list_topics()
admin.close()
print(
    json.dumps(
        {
            "probed": probed,
            "before": before,
            "after": after,
            "offsets": offsets,
            "committed": committed[FIRST].offset,
            "groups": groups,
            "topics": topics,
            "left": left,
        }
    )
)
