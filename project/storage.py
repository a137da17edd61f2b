from django.contrib.staticfiles.storage import ManifestStaticFilesStorage


class ModuleManifestStorage(ManifestStaticFilesStorage):
    """Hashed names, also inside `import` statements: the bell is made of ES modules."""

    support_js_module_import_aggregation = True
