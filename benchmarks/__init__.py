"""Measurements that need real data or weights; not part of the installed package."""
