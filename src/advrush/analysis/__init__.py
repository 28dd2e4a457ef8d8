"""Why an architecture is robust: anatomy, curvature of the input loss, loss landscapes, the path of Theorem 1."""

from advrush.analysis.architecture_stage import analyze_architecture
from advrush.analysis.bezier import BezierPath, train_bend
from advrush.analysis.cell_anatomy import Anatomy, anatomy
from advrush.analysis.config import ArchitectureConfig, CurvatureConfig, LandscapeConfig, PathConfig
from advrush.analysis.curvature_stage import analyze_curvature
from advrush.analysis.input_plane import Landscape, input_landscape
from advrush.analysis.landscape_stage import analyze_landscape
from advrush.analysis.largest_loss import LargestLoss, largest_loss
from advrush.analysis.path_stage import analyze_path
from advrush.analysis.spectrum import InputSpectrum, input_spectrum
from advrush.analysis.weight_plane import weight_landscape

__all__ = [
    "Anatomy",
    "ArchitectureConfig",
    "BezierPath",
    "CurvatureConfig",
    "InputSpectrum",
    "Landscape",
    "LandscapeConfig",
    "LargestLoss",
    "PathConfig",
    "analyze_architecture",
    "analyze_curvature",
    "analyze_landscape",
    "analyze_path",
    "anatomy",
    "input_landscape",
    "input_spectrum",
    "largest_loss",
    "train_bend",
    "weight_landscape",
]
