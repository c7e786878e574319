"""One update of the weights from one batch, on every replica of a strategy."""

import tensorflow as tf


class TrainStep:
    """Makes updates; called with the images and labels of a batch, distributed or not.

    Args:
      model: Keras model, built under `strategy`.
      optimizer: Keras optimizer, built for the model's trainable variables.
      objective: what is minimised, see `deeplab_tf.training.objectives`.
      strategy: `tf.distribute.Strategy`.
      training_mode: whether the model is called as in training.
      accumulate: parts that a batch is gone through in, their gradients added up.

    Example:
      >>> step = TrainStep(model, optimizer, ScoreMapObjective(8), tf.distribute.get_strategy())
      >>> loss, learning_rate = step(batch["image"], batch["label"])
    """

    def __init__(self, model, optimizer, objective, strategy, *, training_mode=True, accumulate=1):
        self._model, self._optimizer, self._objective = model, optimizer, objective
        self._strategy = strategy
        self._training_mode, self._accumulate = training_mode, accumulate

    @tf.function
    def __call__(self, images, labels):
        """One update on every replica; the loss of the whole batch and the learning rate."""
        losses, rates = self._strategy.run(self._replica_step, args=(images, labels))
        loss = self._strategy.reduce("SUM", losses, axis=None)
        return loss, self._strategy.reduce("MEAN", rates, axis=None)

    def _replica_step(self, images, labels):
        """One update from this replica's part of the batch; its share of the loss."""
        optimizer = self._optimizer
        learning_rate = tf.convert_to_tensor(optimizer.learning_rate)
        loss, gradients = self._whole_loss_and_gradients(images, labels)
        optimizer.apply(gradients, self._model.trainable_variables)
        return loss, learning_rate

    def _whole_loss_and_gradients(self, images, labels):
        # Divided by the valid pixels of all replicas and all parts: the gradients, which add up,
        # are then those of the mean over the whole batch, however it is split.
        counts = tf.distribute.get_replica_context().all_reduce(
            "SUM", self._objective.counts(labels)
        )
        parts = self._accumulate
        if parts == 1:
            return self._loss_and_gradients(images, labels, counts)
        images, labels = (_in_parts(x, parts) for x in (images, labels))
        loss = tf.zeros(())
        gradients = [tf.zeros_like(variable) for variable in self._model.trainable_variables]
        for part in tf.range(parts):
            more = self._loss_and_gradients(images[part], labels[part], counts)
            loss += more[0]
            gradients = [a + b for a, b in zip(gradients, more[1], strict=True)]
        return loss, gradients

    def _loss_and_gradients(self, images, labels, counts):
        variables = self._model.trainable_variables
        with tf.GradientTape() as tape:
            sums = self._objective.sums(labels, self._model(images, training=self._training_mode))
            loss = tf.reduce_sum(tf.math.divide_no_nan(sums, counts))
        return loss, tape.gradient(loss, variables)


def _in_parts(x, parts):
    return tf.reshape(x, tf.concat([[parts, -1], tf.shape(x)[1:]], axis=0))
