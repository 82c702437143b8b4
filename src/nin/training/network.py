"""Which network does training start from, and which does it end with? Built by seed; folded and complete at the end."""

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from nin.data.images import LabelledImages
from nin.networks.batch_norm import fold, takes_batch_norm, with_batch_norm
from nin.networks.forward import channels_last, compute_logits
from nin.networks.imported import is_import_path
from nin.networks.initialisation import initialise
from nin.networks.registry import build_network, build_without_weights, head_parameters, network_options
from nin.training.plan import Plan
from nin.training.recipe import Recipe

IMAGES_FOR_SHIFT = 2000  # of the training images, to find the lowest logit by


def initial_network(plan: Plan, weights: Mapping[str, Tensor] | None = None) -> nn.Module:
    """Build the network that the plan trains, initialised by its seed; the CPU's generator is left as it was.

    With the `weights` of a model of the same architecture, all but the last block has the model's weights.
    """
    recipe = plan.recipe
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        network = _build(plan, final_relu=recipe.final_relu)
        initialise(network, recipe.initialisation)
    if weights is not None:
        head = head_parameters(recipe.network, plan.preprocessing.channels, recipe.size)
        network.load_state_dict(
            {name: weights[name] for name in network.state_dict() if name not in head}, strict=False
        )
    return with_batch_norm(network) if _gets_batch_norm(network, recipe) else network


def final_network(network: nn.Module, plan: Plan, train: LabelledImages) -> nn.Module:
    """Return the network to save, in `eval` mode: a copy with batch norm folded and the last ReLU in its place."""
    trained = _build_without_weights(plan, final_relu=plan.recipe.final_relu)
    normed = _gets_batch_norm(trained, plan.recipe)
    trained = with_batch_norm(trained) if normed else trained
    # Only tensors are taken, as from a file: `deepcopy` fails where `network` keeps an activation of its last step.
    trained.load_state_dict(network.state_dict(), assign=not is_import_path(plan.recipe.network))
    trained = trained.to(plan.device)
    folded = fold(trained) if normed else copy.deepcopy(trained).eval()
    if trained_without_final_relu(plan.recipe):
        images = _some_of_each(train, IMAGES_FOR_SHIFT).images
        lowest = compute_logits(folded, images, plan.preprocessing).min().item()
        complete = _build(plan, final_relu=True)
        complete.load_state_dict(folded.state_dict(), strict=True)
        folded = shift_logits(complete, lowest).to(plan.device)
    return channels_last(folded).eval()


def final_layers(plan: Plan) -> nn.Module:
    """Return the layers of the final network, without its weights."""
    network = _build_without_weights(plan)
    return fold(with_batch_norm(network)) if _gets_batch_norm(network, plan.recipe) else network


def trained_without_final_relu(recipe: Recipe) -> bool:
    """Return whether the recipe's network ends in a ReLU that is left out in training."""
    return "final_relu" in network_options(recipe.network) and not recipe.final_relu


def shift_logits(network: nn.Module, lowest: float) -> nn.Module:
    """Return a copy whose last biases are raised so that a final ReLU cuts no logit, in `eval` mode.

    Softmax does not change when one number is added to every logit. So -`lowest`, where `lowest` is the least logit of
    many images, is added to the last convolution's biases. A final ReLU and max pool then change no logit of theirs:
    what is cut are cells of the class maps that lie below every logit, and that the pool never picks. A later image's
    logit under `lowest` is cut to zero, the least there is.
    """
    shifted = copy.deepcopy(network).eval()
    *_, last = (module for module in shifted.modules() if isinstance(module, nn.Conv2d))
    assert last.bias is not None
    with torch.no_grad():
        last.bias -= min(lowest, 0.0)
    return shifted


def _some_of_each(train: LabelledImages, count: int) -> LabelledImages:
    """Return the first `count` images; where they lack a class, as in data sorted by class, as many at even steps."""
    first = train.first(count)
    if len(first.labels.unique()) == len(train.labels.unique()):
        return first
    return train.subset(torch.linspace(0, len(train) - 1, min(count, len(train))).long())


def _gets_batch_norm(network: nn.Module, recipe: Recipe) -> bool:
    """Return whether the plain network is trained as its batch-norm variant."""
    return recipe.batch_norm and takes_batch_norm(network)


def _build_without_weights(plan: Plan, *, final_relu: bool = True) -> nn.Module:
    return _build(plan, final_relu=final_relu, build=build_without_weights)


def _build(plan: Plan, *, final_relu: bool, build: Callable[..., nn.Module] = build_network) -> nn.Module:
    recipe = plan.recipe
    return build(
        recipe.network,
        plan.preprocessing.channels,
        plan.num_classes,
        recipe.size,
        final_relu=final_relu,
        dropout=recipe.dropout,
    )
