"""Figures, page and table of a run, from the run directory alone."""

from collapse_lit.report.page import build_report
from collapse_lit.report.terminal import print_summary

__all__ = ["build_report", "print_summary"]
