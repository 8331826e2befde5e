"""Keeping hurtful text out."""
