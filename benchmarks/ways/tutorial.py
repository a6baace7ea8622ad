"""The tutorial's own loop: placeholders, float images fed from Python for each iteration."""

import numpy as np
import tensorflow.compat.v1 as tf

from benchmarks.ways import clock

REPORT_EVERY = 100

tf.disable_eager_execution()
tf.set_random_seed(0)
images, labels, batches = clock.data()
x_train = images.reshape(-1, 784).astype(np.float32) / 255
y_train = np.eye(10, dtype=np.float32)[labels]


def weights(*shape: int) -> tf.Variable:
    return tf.Variable(tf.truncated_normal(shape, stddev=0.05))


def biases(length: int) -> tf.Variable:
    return tf.Variable(tf.constant(0.05, shape=[length]))


def convolution(inputs: tf.Tensor, channels: int, filters: int) -> tf.Tensor:
    outputs = tf.nn.conv2d(inputs, weights(5, 5, channels, filters), [1, 1, 1, 1], "SAME")
    outputs += biases(filters)
    return tf.nn.relu(tf.nn.max_pool(outputs, [1, 2, 2, 1], [1, 2, 2, 1], "SAME"))


x = tf.placeholder(tf.float32, [None, 784])
y = tf.placeholder(tf.float32, [None, 10])
flat = convolution(convolution(tf.reshape(x, [-1, 28, 28, 1]), 1, 16), 16, 36)
hidden = tf.nn.relu(tf.matmul(tf.reshape(flat, [-1, 1764]), weights(1764, 128)) + biases(128))
logits = tf.matmul(hidden, weights(128, 10)) + biases(10)
cost = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(logits=logits, labels=y))
optimizer = tf.train.AdamOptimizer(1e-4).minimize(cost)
right = tf.equal(tf.argmax(logits, axis=1), tf.argmax(y, axis=1))
accuracy = tf.reduce_mean(tf.cast(right, tf.float32))

session = tf.Session()
session.run(tf.global_variables_initializer())


def train(rows: np.ndarray) -> None:
    for i, batch in enumerate(rows):
        feed = {x: x_train[batch], y: y_train[batch]}
        session.run(optimizer, feed)
        if i % REPORT_EVERY == 0:
            session.run(accuracy, feed)


clock.measure(train, batches)
