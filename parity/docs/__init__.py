"""The examples of a document: found, run unmodified with stand-ins, and compared with what the document says."""
