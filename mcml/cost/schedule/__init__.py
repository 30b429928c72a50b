"""Schedules: machines and groups that run in their hours only, stopped and restored exactly, by what is wanted now and not by a timer."""
