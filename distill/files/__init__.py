"""Files as every command reads them: lines, rows of tables, and rows that cannot be used."""
