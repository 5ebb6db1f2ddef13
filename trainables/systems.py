"""What is known of each system: which parts are its authors', which are ours, and what else than the data set it sees.

Reports show it, because most systems were published without code. A name that ends in `_like` says that architecture or
training could not be known.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class AboutSystem:
    """A system, for readers of a report."""

    title: str
    authors: str
    """What is the authors': read in their paper or code."""
    ours: str
    """What is our design, or not what they did."""
    data: str = "none"
    """Data that it sees besides clips and fMRI of the training split."""
    source: str = ""
    """Paper, code and documents; empty for videos that were made elsewhere."""


ABOUT: Mapping[str, AboutSystem] = {
    "mindanimator": AboutSystem(
        "Mind-Animator",
        authors="semantic, structure and motion decoder, their losses and training, and the generation procedure, as "
        "paper and released code state them",
        ours="sizes and generation procedure for the phantom's small diffusion model (`preset: phantom`, `generation: "
        "gentle`)",
        source="docs/mind-animator.md",
    ),
    "nishimoto2011": AboutSystem(
        "Nishimoto et al. 2011",
        authors="motion energy of luminance (filters of their pymoten), one linear encoding model per voxel, normal "
        "errors with a regularised covariance, a flat prior over a library of clips, the average of the best clips",
        ours="frequencies of time per clip (few frames are kept); ridge and not L1 regression; one answer per clip "
        "and not delays of 4 to 6 s; Ledoit-Wolf covariance; the library is the training clips and not 18 million "
        "seconds of video; one clip and not the average of 100 (`nishimoto.top`)",
        data="none (the library is the training clips)",
        source="Current Biology 21:1641; github.com/gallantlab/pymoten; docs/systems/nishimoto2011.md",
    ),
    "kupershmidt_like": AboutSystem(
        "Kupershmidt-like",
        authors="a network from video to fMRI and one back, trained on pairs and on videos without fMRI through both; "
        "from the code of the same group for images: way of reading by voxels, layers of the decoder, errors of pixels "
        "and of a frozen network's maps, the first network frozen while the second is trained",
        ours="convolution over frames, all frames as channels of one image, the error of differences between frames, "
        "weights, schedules, one answer per clip and not a model of the haemodynamic response",
        data="clips without fMRI: freshly drawn ones on the phantom, or a folder (`unsee.external`)",
        source="Kupershmidt et al. 2022, arXiv:2206.03544 (abstract); github.com/WeizmannVision/SelfSuperReconst; "
        "docs/systems/kupershmidt_like.md",
    ),
    "fcvgan_like": AboutSystem(
        "f-CVGAN-like",
        authors="a generator from fMRI to video with separate spatial and temporal discriminators; videos of 8 frames "
        "and 64 pixels",
        ours="all layers, losses, weights, optimisers and the number of epochs: the paper's text was not at hand and "
        "no code is public",
        source="Wang et al. 2022, Cerebral Cortex 32:4502 (abstract); docs/systems/fcvgan_like.md",
    ),
    "han_like": AboutSystem(
        "after Han et al. 2019",
        authors="the latent of a variational autoencoder, predicted by a linear model and decoded; one frame per clip",
        ours="the autoencoder: that of the diffusion model, or with `han.vae: global` one of their kind (five layers "
        "each way, a latent without places) whose kernels, normalisation, loss and training are ours, on frames of "
        "training clips (theirs: 1,024 latents, ILSVRC2012); ridge and its penalty: regularisation and code were not "
        "published",
        data="the images of the diffusion model's autoencoder; with `han.vae: global` none",
        source="NeuroImage 198:125; docs/systems/han_like.md",
    ),
    "wen2018": AboutSystem(
        "Wen et al. 2018",
        authors="linear models from fMRI to the logarithm of a network's first maps, one per channel; the maps back to "
        "a frame by the transposed filters; categories by principal components of the penultimate layer",
        ours="ridge in closed form (theirs: L1 by mini-batch gradients); another network than Caffe's AlexNet; one "
        "answer per clip and not a volume of 2 s each; gains of the transposed filters are fitted; inverses `local` "
        "and `trained` (three up-convolutions, trained on training frames)",
        data="the images of the network",
        source="Cerebral Cortex 28:4136; the authors' code (CC0); docs/systems/wen2018.md",
    ),
    "given": AboutSystem(
        "videos made elsewhere",
        authors="the videos",
        ours="size and number of frames at which they are judged",
        data="whatever they were made with",
    ),
    "mindvideo_like": AboutSystem(
        "Mind-Video-like",
        authors="layers of fMRI encoder, projection head and masked model, windows of volumes, attention to the two "
        "previous frames, temporal attention, generation from noise with 200 steps and guidance 12.5, as the released "
        "code has them",
        ours="training of contrast and co-training (not released), pre-training on the data set's own volumes, not on "
        "HCP's, the error of the text condition, the mean training fMRI for guidance (theirs: of the test set), sizes "
        "for the phantom",
        source="docs/systems/mindvideo_like.md",
    ),
}
"""System to what is known of it; not of those that plug-ins bring."""
