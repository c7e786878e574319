"""One update of the weights from one batch, on every replica of a strategy."""

import tensorflow as tf

from deeplab_tf.models.fast.fuse import fuse


class TrainStep:
    """Makes updates; called with the images and labels of a batch, distributed or not.

    Args:
      model: Keras model, built under `strategy`.
      optimizer: Keras optimizer, built for the model's trainable variables.
      objective: what is minimised, see `deeplab_tf.training.objectives`.
      strategy: `tf.distribute.Strategy`.
      training_mode: whether the model is called as in training.
      accumulate: parts that a batch is gone through in, their gradients added up.
      clip_norm: largest norm of all gradients of a batch together, which are scaled down to it;
        0: any.
      loss_scale: `deeplab_tf.training.precision.LossScale` for a model that computes in float16;
        None: the loss is not scaled.
      xla: whether XLA compiles the update.

    Example:
      >>> step = TrainStep(model, optimizer, ScoreMapObjective(8), tf.distribute.get_strategy())
      >>> loss, learning_rate, *finite = step(batch["image"], batch["label"])
    """

    def __init__(
        self,
        model,
        optimizer,
        objective,
        strategy,
        *,
        training_mode=True,
        accumulate=1,
        clip_norm=0.0,
        loss_scale=None,
        xla=False,
    ):
        self._model, self._optimizer, self._objective = model, optimizer, objective
        self._strategy, self._replicas = strategy, strategy.num_replicas_in_sync
        self._training_mode, self._accumulate = training_mode, accumulate
        # At inference a fused network has slow gradients.
        self._network = fuse(model) if training_mode else model
        self._clip_norm, self._loss_scale = clip_norm, loss_scale
        self._weights = model.trainable_variables
        self._update = tf.function(self._update_replicas, jit_compile=xla or None)

    def __call__(self, images, labels):
        """One update on every replica.

        Returns:
          The loss of the whole batch, the learning rate, whether all gradients are finite, and
          whether all trained weights are, after it. Where the loss is scaled and the gradients
          are not finite, the weights are left as they are.
        """
        return self._update(images, labels)

    def _update_replicas(self, images, labels):
        strategy = self._strategy
        losses, rates, squares, gradients = strategy.run(self._gradients, args=(images, labels))
        loss = strategy.reduce("SUM", losses, axis=None)
        rate = strategy.reduce("MEAN", rates, axis=None)
        finite = tf.math.is_finite(strategy.reduce("SUM", squares, axis=None))
        if self._loss_scale is None:
            strategy.run(self._apply, args=(gradients,))
        else:
            # Here and not in the replicas, where no update may be conditional.
            tf.cond(
                finite,
                lambda: self._done(strategy.run(self._apply, args=(gradients,))),
                lambda: True,
            )
            self._loss_scale.update(finite)
        squares = strategy.reduce("SUM", strategy.run(self._weights_square), axis=None)
        return loss, rate, finite, tf.math.is_finite(squares)

    def _weights_square(self):
        return tf.linalg.global_norm([tf.convert_to_tensor(v) for v in self._weights]) ** 2

    def _done(self, _):
        return True

    def _gradients(self, images, labels):
        """This replica's share of the loss, and the gradients to apply, still scaled.

        Returns:
          Loss, learning rate, sum of the squares of all gradients, list of gradients.
        """
        learning_rate = tf.convert_to_tensor(self._optimizer.learning_rate)
        loss, gradients = self._whole_loss_and_gradients(images, labels)
        if self._clip_norm and self._replicas > 1:
            # The norm is that of the sum. Applying sums once more, over equal parts.
            gradients = tf.distribute.get_replica_context().all_reduce("SUM", gradients)
            gradients = _times(1 / self._replicas, gradients)
        squares = tf.linalg.global_norm(gradients) ** 2
        return loss, learning_rate, squares, gradients

    def _apply(self, gradients):
        if self._loss_scale is not None:
            gradients = _times(1 / self._loss_scale.value, gradients)
        if self._clip_norm:
            norm = self._replicas * tf.linalg.global_norm(gradients)
            gradients = _times(self._clip_norm / tf.maximum(norm, self._clip_norm), gradients)
        self._optimizer.apply(gradients, self._model.trainable_variables)

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
            scores = self._network(images, training=self._training_mode)
            sums = self._objective.sums(labels, scores)
            loss = tf.reduce_sum(tf.math.divide_no_nan(sums, counts))
            target = loss if self._loss_scale is None else loss * self._loss_scale.value
        return loss, tape.gradient(target, variables)


def _in_parts(x, parts):
    return tf.reshape(x, tf.concat([[parts, -1], tf.shape(x)[1:]], axis=0))


def _times(factor, gradients):
    return [None if gradient is None else factor * gradient for gradient in gradients]
