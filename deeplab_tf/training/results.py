"""What a training run has come to, in words."""

import math


def result_text(state, settings, images_per_second=0.0):
    """The lines at the end of a training run.

    Args:
      state: `deeplab_tf.training.checkpoints.TrainingState`.
      settings: `deeplab_tf.training.settings.LoopSettings`.
      images_per_second: mean over the steps of this run; 0 if there were none to time.

    Returns:
      str: time, images per second and the last loss; the best score and its step, if there was a
      validation.
    """
    words = [f"{state.step} steps done"]
    if state.seconds:  # unknown for checkpoints of older versions
        words[0] += f" in {duration(state.seconds)}"
    if images_per_second:
        words.append(f"{images_per_second:.1f} images/s")
    if math.isfinite(state.last_loss):
        words.append(f"last loss {state.last_loss:.4f}")
    lines = [", ".join(words)]
    if math.isfinite(state.best_score):
        step = f" at step {state.best_step}" if state.best_step else ""
        lines.append(f"best {settings.score_name}: {state.best_score:.4f}{step}")
    return "\n".join(lines)


def duration(seconds):
    """A time in words.

    Example:
      >>> duration(9.6), duration(200), duration(7500)
      ('10 s', '3 min 20 s', '2 h 5 min')
    """
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
