"""Several replicas of a network, each trained on its part of every batch.

The batch of an iteration stays the one that a single replica would be given: it is made and moved
as a whole, then split in order into equal parts. Gradients are the mean over all parts, batch
normalisation takes its moments and dropout its choice over the whole batch. So the results are
those of one replica, but for the rounding of sums that are added up in another order.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from tasks.model.device import load_tensorflow
from tasks.runtime.errors import PipelineError

if TYPE_CHECKING:
    import keras

Tensors = list[Any]


def choose_replicas(wanted: Literal["auto"] | int, kind: str, devices: int, batch: int) -> int:
    """How many replicas train.

    Args:
        wanted: the setting; auto stands for as many as there are GPUs and the batch can be split
            into, and for one on a CPU.
        kind: of processor, CPU or GPU.
        devices: that TensorFlow sees of this kind.
        batch: images per iteration.

    Raises:
        PipelineError: there are fewer devices, or the batch cannot be split into equal parts.
    """
    if wanted == "auto":
        most = devices if kind == "GPU" else 1
        return max(n for n in range(1, most + 1) if batch % n == 0)
    if wanted > devices:
        raise PipelineError(
            f"--replicas {wanted}: TensorFlow sees {devices} {kind}{'s' * (devices != 1)}; each"
            " replica needs one of its own, use fewer"
        )
    if batch % wanted:
        raise PipelineError(
            f"--replicas {wanted}: a batch of {batch} images cannot be split into {wanted} equal"
            " parts; change --batch-size or --replicas"
        )
    return wanted


def replicate(network: "keras.Sequential") -> "keras.Sequential":
    """The same layers with new weights, made for several replicas.

    Called in the strategy's scope. The network is for training: what is exported is another.
    """
    import keras

    def for_replicas(layer: "keras.layers.Layer") -> "keras.layers.Layer":
        config = layer.get_config()
        if isinstance(layer, keras.layers.BatchNormalization):
            config["synchronized"] = True
        if isinstance(layer, keras.layers.Dropout):
            return whole_batch_dropout()(**config)
        return type(layer).from_config(config)

    return keras.models.clone_model(network, clone_function=for_replicas)


def whole_batch_dropout() -> "type[keras.layers.Dropout]":
    """Dropout that chooses for the whole batch, and uses what falls on this replica's part.

    Each replica has the same state of the generator, and so by itself would leave out the same
    places as the others.
    """
    tf = load_tensorflow()
    import keras

    class WholeBatchDropout(keras.layers.Dropout):  # type: ignore[misc]
        def call(self, inputs: Any, training: bool = False) -> Any:
            if not training:
                return inputs
            replicas, mine = own_part(tf.shape(inputs)[0])
            whole = tf.ones([replicas * tf.shape(inputs)[0], *inputs.shape[1:]], inputs.dtype)
            return inputs * super().call(whole, training=True)[mine]

    return WholeBatchDropout


def own_part(size: Any) -> tuple[int, slice]:
    """The number of replicas, and where this replica's part of a batch lies; in its context.

    Args:
        size: of a part.
    """
    context = load_tensorflow().distribute.get_replica_context()
    number = context.replica_id_in_sync_group
    return context.num_replicas_in_sync, slice(number * size, (number + 1) * size)


def on_replicas(
    gradients: Callable[[Any, Any], Tensors], apply: Callable[[Tensors], None]
) -> Callable[[Any, Any], None]:
    """An update of all replicas from a whole batch.

    Called in the scope of the strategy.

    Args:
        gradients: of the mean loss on images and labels.
        apply: updates the weights; adds up what replicas give it.

    Returns:
        A function of images and labels; their number is a multiple of that of the replicas.
    """
    tf = load_tensorflow()
    strategy = tf.distribute.get_strategy()

    def update_part(x: Any, y: Any) -> None:
        context = tf.distribute.get_replica_context()
        replicas, mine = own_part(tf.shape(x)[0] // strategy.num_replicas_in_sync)
        # The mean before Keras adds up: its loss scale looks for overflows in what this replica
        # gives it, and all have to leave out the same updates.
        mean = context.all_reduce(tf.distribute.ReduceOp.MEAN, gradients(x[mine], y[mine]))
        apply([gradient / replicas for gradient in mean])

    return lambda x, y: strategy.run(update_part, (x, y))
