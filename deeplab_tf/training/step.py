"""One update of the weights from one batch, on every replica of a strategy."""

import weakref

import tensorflow as tf

from deeplab_tf.models.fast.fuse import fuse


class TrainStep:
    """A function that updates the weights from the images and labels of one batch.

    Args:
      model: Keras model, built under `strategy`.
      optimizer: Keras optimizer, built for the model's trainable variables.
      objective: what is minimized, see `deeplab_tf.training.losses`.
      strategy: `tf.distribute.Strategy`.
      training_mode: whether the model is called with `training=True`.
      accumulate: number of micro-batches that a batch is split into; their gradients are added.
      clip_norm: upper limit for the norm of all gradients of a batch together, which are scaled
        down to it; 0: no limit.
      loss_scale: `deeplab_tf.training.loss_scale.LossScale` for a model that computes in float16;
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
        # In inference mode the gradients of a fused network are slow.
        self._network = fuse(model) if training_mode else model
        self._clip_norm, self._loss_scale = clip_norm, loss_scale
        self._weights = model.trainable_variables
        self._update = tf.function(self._update_replicas, jit_compile=xla or None)
        for variable in (*model.variables, *optimizer.variables):
            for part in strategy.experimental_local_results(variable.value):
                _free_with(part)

    def __call__(self, images, labels):
        """Make one update on every replica.

        Args:
          images: float32 `(B, H, W, 3)` RGB, 0..255; under a strategy of several devices, a
            distributed value with each replica's part of the batch.
          labels: uint8 `(B, H, W)`, distributed in the same way.

        Returns:
          The loss of the whole batch, the learning rate, whether all gradients are finite, and
          whether all trained weights are finite afterwards. If the loss is scaled and a gradient
          is not finite, the weights are left unchanged.
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
            self._apply_if(finite, gradients)
        squares = strategy.reduce("SUM", strategy.run(self._weights_square), axis=None)
        return loss, rate, finite, tf.math.is_finite(squares)

    def _apply_if(self, finite, gradients):
        """Apply finite gradients; called outside of the replicas, which do not allow tf.cond."""

        def apply():
            self._strategy.run(self._apply, args=(gradients,))
            return True

        tf.cond(finite, apply, lambda: True)
        self._loss_scale.update(finite)

    def _weights_square(self):
        return tf.linalg.global_norm([tf.convert_to_tensor(v) for v in self._weights]) ** 2

    def _gradients(self, images, labels):
        """Compute this replica's share of the loss, and the gradients to apply, still scaled.

        Returns:
          Loss, learning rate, sum of the squares of all gradients, list of gradients.
        """
        learning_rate = tf.convert_to_tensor(self._optimizer.learning_rate)
        loss, gradients = self._whole_loss_and_gradients(images, labels)
        if self._clip_norm and self._replicas > 1:
            # The limit is for the norm of the sum over replicas. Every replica gets an equal part
            # of that sum, because the optimizer adds up the replicas' gradients.
            gradients = _times(1 / self._replicas, self._sum_over_replicas(gradients))
        squares = tf.linalg.global_norm(gradients) ** 2
        return loss, learning_rate, squares, gradients

    def _sum_over_replicas(self, values):
        if self._replicas == 1:
            return values
        return tf.distribute.get_replica_context().all_reduce("SUM", values)

    def _apply(self, gradients):
        if self._loss_scale is not None:
            gradients = _times(1 / self._loss_scale.value, gradients)
        if self._clip_norm:
            # Each replica holds an equal part of the sum; see `_gradients`.
            norm = self._replicas * tf.linalg.global_norm(gradients)
            gradients = _times(self._clip_norm / tf.maximum(norm, self._clip_norm), gradients)
        self._optimizer.apply(gradients, self._model.trainable_variables)

    def _whole_loss_and_gradients(self, images, labels):
        # Every part is divided by the number of valid pixels of the whole batch. The sum of the
        # parts' gradients is then the gradient of the mean over the batch, however it is split.
        counts = self._sum_over_replicas(self._objective.counts(labels))
        parts = self._accumulate
        if parts == 1:
            return self._loss_and_gradients(images, labels, counts)
        images, labels = (
            tf.reshape(x, tf.concat([[parts, -1], tf.shape(x)[1:]], axis=0))
            for x in (images, labels)
        )
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
        gradients = zip(tape.gradient(target, variables), variables, strict=True)
        # A gradient is None if the loss does not depend on the variable.
        return loss, [tf.zeros_like(v) if g is None else g for g, v in gradients]


def _times(factor, gradients):
    return [factor * gradient for gradient in gradients]


def _free_with(variable):
    """Free the memory of a `tf.Variable` when Python deletes it.

    TensorFlow never deletes the graph of a function that contains a custom gradient, such as the
    update of a Keras optimizer, and the graph keeps the memory of its variables. So each network
    that a process trains would leave its weights and slots behind.
    """

    dtype = variable.dtype

    def free(handle):
        with tf.init_scope():  # garbage may be collected while a graph is built
            # Within a plain `tf.Graph`, as when a SavedModel is written, nothing can be assigned.
            if tf.executing_eagerly():
                tf.raw_ops.AssignVariableOp(resource=handle, value=tf.zeros(0, dtype))

    if dtype.is_floating:
        weakref.finalize(variable, free, variable.handle).atexit = False
