"""A token dataset as one HTML page that needs neither a server nor the network."""

from .figures import DatasetFigures, collect_figures
from .page import render_page

__all__ = ["DatasetFigures", "collect_figures", "render_page"]
