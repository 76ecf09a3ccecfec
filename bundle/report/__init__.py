"""The page that shows what was found: reading results, sections, pictures, the methods paragraph."""
