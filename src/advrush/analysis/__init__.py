"""Why an architecture is robust: anatomy, curvature of the input loss, loss landscapes, the path of Theorem 1."""

from advrush.analysis.architecture_stage import analyze_architecture
from advrush.analysis.cell_anatomy import Anatomy, anatomy
from advrush.analysis.config import ArchitectureConfig, CurvatureConfig, LandscapeConfig, PathConfig
from advrush.analysis.curvature_stage import analyze_curvature
from advrush.analysis.input_plane import Landscape, input_landscape
from advrush.analysis.landscape_stage import analyze_landscape
from advrush.analysis.spectrum import InputSpectrum, input_spectrum
from advrush.analysis.weight_plane import weight_landscape

__all__ = [
    "Anatomy",
    "ArchitectureConfig",
    "CurvatureConfig",
    "InputSpectrum",
    "Landscape",
    "LandscapeConfig",
    "PathConfig",
    "analyze_architecture",
    "analyze_curvature",
    "analyze_landscape",
    "anatomy",
    "input_landscape",
    "input_spectrum",
    "weight_landscape",
]
