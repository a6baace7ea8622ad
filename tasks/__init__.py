"""The stages of the pipeline, by subject: data, model, report."""
