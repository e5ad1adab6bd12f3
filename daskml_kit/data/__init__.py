"""Rows as blocks: any input becomes aligned blocks of rows, placed in memory or on workers."""
