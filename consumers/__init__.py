"""The processors of the reference application, and the app that a consumer is started with.

mqjobs consume --app consumers:app
"""

from consumers.search import (
    IndexModuleProcessor,
    RefreshStatisticsProcessor,
    ReindexDocsProcessor,
)
from mqjobs import App

app = App()
app.subscribe(ReindexDocsProcessor(), IndexModuleProcessor(), RefreshStatisticsProcessor())
