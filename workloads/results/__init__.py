"""What a run leaves behind and how it is read again: summary, records, epoch log and trace."""
