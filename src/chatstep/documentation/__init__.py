"""The documentation as a part of the product: its pages, a search over them, and answers to questions about them.

`pages` finds and names them, `markdown` and `html` show them, `excerpts` and `search` find what a question is about,
`asking` answers it with the step, `writing` puts pages and answers into Markdown. The doors above only translate.
"""
