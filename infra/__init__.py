"""What is deployed: settings, the pure core, components, options, and the Pulumi program over them."""
