"""A thousand streams at once: a provider that ticks, and clients that look at the clock. For `bench_streams`."""
