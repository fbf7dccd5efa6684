"""The results of a run: summary, records, epoch log and trace, written and read back."""
