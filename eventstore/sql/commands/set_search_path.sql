-- Set in which schemas the open transaction looks for what is named without one.
-- {schemas} is a list of quoted names.
SET LOCAL search_path = {schemas}
